package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"time"

	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/testbed/simulator"
)

// world says what a simulator in a process of its own is to serve.
type world struct {
	Tenants, Alerts int
	Size            int    // bytes of an alert's text, 0 for its usual length
	API             string // which API the rows are counted and dumped by
	Dump            string // file for the rows, one a line; none if empty
	Faults          string // see simulator.FaultsHelp
	Sick            []string
	Trickle         time.Duration // how often each tenant gets an alert; 0 is never. A report ends it
}

// served is the simulator in that process, and what a client needs to use it.
type served struct {
	LoginURL, APIURL string
	Ways             map[string]way // the same in other ways, by name
	Tenants          []customer
	Rows             int
	Bytes            int64 // of all rows
}

type customer struct{ ID, Name, ClientID, Secret, Refresh string }

// server is a running simulator: another process, so that its work is not counted as
// the plugin's.
type server struct {
	served
	cmd   *exec.Cmd
	stdin io.Closer
	out   *json.Decoder
}

// seed makes the same tenants in each process.
const seed = 1

func startServer(w world) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}

	spec, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}

	s := &server{cmd: exec.Command(self, "-serve", string(spec))}

	s.cmd.Stderr = os.Stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}

	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}

	if err := s.cmd.Start(); err != nil {
		return nil, err
	}

	s.out = json.NewDecoder(out)
	if err := s.out.Decode(&s.served); err != nil {
		s.close()
		return nil, fmt.Errorf("the simulator did not start: %w", err)
	}

	return s, nil
}

// report ends the trickle of alerts and returns which of them were read.
func (s *server) report() (r report, err error) {
	if err := s.stdin.Close(); err != nil {
		return r, err
	}

	return r, s.out.Decode(&r)
}

func (s *server) close() {
	_ = s.stdin.Close() // the sign for it to end
	_ = s.cmd.Wait()
}

// serve runs the simulator in the other process, until its standard input ends.
func serve(spec string) error {
	var w world
	if err := json.Unmarshal([]byte(spec), &w); err != nil {
		return err
	}

	tenants := simulator.Generate(w.Tenants, w.Alerts, seed)
	for i := range tenants {
		tenants[i].GenerateOptions = simulator.GenerateOptions{Plain: true, Size: w.Size}
	}

	sim, err := simulator.New(simulator.Config{
		Tenants: tenants,
		Quotas:  map[string]simulator.Quota{w.API: {}},
		Faults:  w.Faults,
	})
	if err != nil {
		return err
	}

	if err := sim.Start("127.0.0.1:0"); err != nil {
		return err
	}

	defer sim.Close()

	s := served{LoginURL: sim.LoginURL(), APIURL: sim.APIURL(w.API)}

	for _, t := range tenants {
		a := t.Apps[0]
		s.Tenants = append(s.Tenants, customer{t.ID, t.Name, a.ClientID, a.Secret, a.RefreshTokens[0]})
	}

	if w.Alerts > 0 && w.Trickle == 0 {
		if err := s.dump(w); err != nil {
			return err
		}
	}

	end, err := s.serveWays(w, sim)
	if err != nil {
		return err
	}
	defer end()

	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return err
	}

	began := time.Now()

	if w.Trickle > 0 {
		go sim.Trickle(context.Background(), w.Trickle) // as long as the process
	}

	if _, err = io.Copy(io.Discard, os.Stdin); err != nil || w.Trickle == 0 {
		return err
	}

	return json.NewEncoder(os.Stdout).Encode(reportOn(sim, w, began))
}

// dump reads all rows over HTTP, counts them and writes them into a file, one a line.
// It also makes the simulator render them once before anything is measured.
func (s *served) dump(w world) error {
	out := bufio.NewWriter(io.Discard)

	if w.Dump != "" {
		f, err := os.Create(w.Dump)
		if err != nil {
			return err
		}
		defer f.Close()

		out = bufio.NewWriterSize(f, 1<<20)
	}

	for _, c := range s.Tenants {
		token, err := s.signIn(c, w.API)
		if err != nil {
			return err
		}

		for skip, more := 0, true; more; {
			n, err := s.rows(w.API, token, skip, out)
			if err != nil {
				return err
			}

			skip += n
			more = w.API == simulator.Endpoint && n > 0
		}
	}

	return out.Flush()
}

func (s *served) signIn(c customer, api string) (string, error) {
	form := url.Values{"client_id": {c.ClientID}, "client_secret": {c.Secret}}

	path := "/oauth2/v2.0/token"
	if api == simulator.SIEM {
		path = "/oauth2/token"

		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", c.Refresh)
		form.Set("resource", "https://graph.windows.net")
	} else {
		form.Set("grant_type", "client_credentials")
		form.Set("scope", "https://api.securitycenter.microsoft.com/.default")
	}

	res, err := http.PostForm(s.LoginURL+"/"+c.ID+path, form)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()

	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("no token from the simulator (%s): %w", res.Status, err)
	}

	return answer.Token, nil
}

func (s *served) rows(api, token string, skip int, out io.Writer) (n int, err error) {
	query := url.Values{"sinceTimeUtc": {time.Now().UTC().Add(-48 * time.Hour).Format("2006-01-02T15:04:05.000")}}
	if api == simulator.Endpoint {
		query = url.Values{
			"$top":     {"10000"},
			"$skip":    {fmt.Sprint(skip)},
			"$expand":  {"evidence"},
			"$orderby": {"lastUpdateTime"},
		}
	}

	req, err := http.NewRequest(http.MethodGet, s.APIURL+"/api/alerts?"+query.Encode(), nil)
	if err != nil {
		return 0, err
	}

	req.Header.Set("Authorization", "Bearer "+token)

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()

	if res.StatusCode != http.StatusOK {
		return 0, errors.New("the simulator answered " + res.Status)
	}

	p := page.NewReader(res.Body, page.Options{})
	for ; ; n++ {
		row, err := p.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}

		if err == nil {
			_, err = out.Write(append(row[:len(row):len(row)], '\n'))
		}

		if err != nil {
			return n, err
		}

		s.Rows++
		s.Bytes += int64(len(row)) + 1
	}
}
