package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
)

// tlsPassword is that of the roles of these tests, and in no message.
const tlsPassword = "hunter2"

// tlsHBA lets each role in by its own way.
const tlsHBA = `local   all all                    trust
hostssl all bycert    127.0.0.1/32 cert
hostssl all encrypted 127.0.0.1/32 scram-sha-256
host    all anyhow    127.0.0.1/32 scram-sha-256
`

// tlsServer is a server with TLS, and the files of its clients.
type tlsServer struct {
	*pgtest.Server
	*pgtest.Authority
	files string // a folder
	name  string // of the database
}

func startTLS(t *testing.T) *tlsServer {
	t.Helper()

	s := &tlsServer{Authority: pgtest.NewAuthority(t), files: t.TempDir()}
	s.Server = pgtest.StartPrepared(t, func(server *pgtest.Server) {
		certificate, key := s.Issue(t, "localhost", time.Hour)
		server.WriteFile(t, "server.crt", certificate)
		server.WriteFile(t, "server.key", key)
		server.WriteFile(t, "ca.crt", s.PEM)
		server.WriteFile(t, "pg_hba.conf", []byte(tlsHBA))
	}, "ssl=on", "ssl_cert_file=server.crt", "ssl_key_file=server.key", "ssl_ca_file=ca.crt")

	d := s.New(t)
	s.name = d.Name

	for _, role := range []string{"bycert", "encrypted", "anyhow"} {
		d.Exec(t, fmt.Sprintf(`CREATE ROLE %s LOGIN SUPERUSER PASSWORD '%s'`, role, tlsPassword))
	}

	other, stranger := pgtest.NewAuthority(t), pgtest.NewAuthority(t)
	s.file(t, "ca.crt", s.PEM)
	s.file(t, "other.crt", other.PEM)

	signers := map[string]*pgtest.Authority{"bycert": s.Authority, "mallory": s.Authority, "alien": stranger}
	for name, by := range signers {
		certificate, key := by.Issue(t, name, time.Hour)
		s.file(t, name+".crt", certificate)
		s.file(t, name+".key", key)
	}

	return s
}

func (s *tlsServer) file(t *testing.T, name string, data []byte) {
	t.Helper()

	if err := os.WriteFile(filepath.Join(s.files, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// present has the server show another certificate.
func (s *tlsServer) present(t *testing.T, name string, life time.Duration) {
	t.Helper()

	certificate, key := s.Issue(t, name, life)
	s.WriteFile(t, "server.crt", certificate)
	s.WriteFile(t, "server.key", key)
	s.Restart(t)
}

// options are those of an opening by a role; FILES/ in a query is the folder.
func (s *tlsServer) options(role, host, query string) Options {
	url := fmt.Sprintf("postgres://%s:%s@%s:%d/%s?%s", role, tlsPassword, host, s.Port(), s.name,
		strings.ReplaceAll(query, "FILES/", s.files+"/"))

	return Options{URL: secret.New(url), Key: testKey}
}

// expect opens the database, and compares the error; want is "" for none.
func (s *tlsServer) expect(t *testing.T, o Options, want string) {
	t.Helper()

	opened, err := Open(o)

	// A server that refuses a certificate sends the reason and ends the connection. A
	// client that writes in between sees the end and not the reason: then it asks again.
	for tries := 0; tries < 50 && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)); tries++ {
		opened, err = Open(o)
	}

	if err == nil {
		_ = opened.Close()
	}

	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want == "":
	case err == nil:
		t.Error("no error")
	case !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), tlsPassword):
		t.Errorf("%v; want %s, and no password", err, want)
	case errors.Is(err, store.ErrUnreachable):
		t.Errorf("an input would wait: %v", err)
	}
}

func TestTLSToARealServer(t *testing.T) {
	t.Parallel()

	s := startTLS(t)
	full := "sslmode=verify-full&sslrootcert=FILES/ca.crt"

	for _, test := range []struct{ role, query, want string }{
		{"anyhow", "sslmode=disable", ""},
		{"encrypted", "", ""},
		{"encrypted", "sslmode=require", ""},
		{"encrypted", "sslmode=verify-ca&sslrootcert=FILES/ca.crt", ""},
		{"encrypted", full, ""},
		{"encrypted", "sslmode=disable", "is not encrypted: add sslmode=verify-full"},
		{"encrypted", "sslmode=verify-ca", "set sslrootcert to the file"},
		{"encrypted", "sslmode=verify-full", "set sslrootcert to the file"},
		{"encrypted", "sslmode=require&sslrootcert=FILES/other.crt", "set sslrootcert to the file"},
		{"encrypted", "sslmode=verify-full&sslrootcert=FILES/other.crt", "set sslrootcert to the file"},
		{"bycert", full + "&sslcert=FILES/bycert.crt&sslkey=FILES/bycert.key", ""},
		{"bycert", full, "name one with sslcert"},
		{"bycert", full + "&sslcert=FILES/mallory.crt&sslkey=FILES/mallory.key", "the certificate in sslcert is for"},
		{"bycert", full + "&sslcert=FILES/alien.crt&sslkey=FILES/alien.key", "sslcert"},
	} {
		t.Run(test.role+" "+test.query, func(t *testing.T) {
			s.expect(t, s.options(test.role, "localhost", test.query), test.want)
		})
	}

	s.expect(t, s.options("encrypted", "127.0.0.1", full), "for other names: write one of them")

	s.present(t, "other.test", time.Hour)
	s.expect(t, s.options("encrypted", "localhost", full), "for other names: write one of them")
	s.expect(t, s.options("encrypted", "localhost", "sslmode=verify-ca&sslrootcert=FILES/ca.crt"), "")

	for _, mode := range []string{"verify-full", "verify-ca"} {
		s.present(t, "localhost", -time.Minute)
		s.expect(t, s.options("encrypted", "localhost", "sslrootcert=FILES/ca.crt&sslmode="+mode), "has expired")
	}
}

func TestAServerWithoutTLSSaysSo(t *testing.T) {
	d := pgtest.New(t)
	proxy := pgtest.NewProxy(t, "unix", d.Server.Socket())

	for query, want := range map[string]string{
		"":                    "",
		"sslmode=disable":     "",
		"sslmode=require":     "it has no TLS, which sslmode asks for",
		"sslmode=verify-full": "it has no TLS, which sslmode asks for",
	} {
		url := fmt.Sprintf("postgres://postgres@localhost:%d/%s?%s", proxy.Port(), d.Name, query)
		(&tlsServer{}).expect(t, Options{URL: secret.New(url), Key: testKey}, want)
	}
}

func TestFilesOfAConnectionAreNamedWhenTheyAreWrong(t *testing.T) {
	dir := t.TempDir()
	certificate, key := pgtest.NewAuthority(t).Issue(t, "app", time.Hour)
	_, otherKey := pgtest.NewAuthority(t).Issue(t, "app", time.Hour)

	for name, data := range map[string][]byte{
		"cert.pem":  certificate,
		"key.pem":   key,
		"other.pem": otherKey,
		"empty":     nil,
		"service":   []byte("[one]\nhost=localhost\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	for query, want := range map[string]string{
		"sslmode=hunter2":                                 "sslmode (or PGSSLMODE): unknown",
		"sslrootcert=DIR/none":                            "(or PGSSLROOTCERT): " + dir + "/none: no such file",
		"sslrootcert=DIR/empty":                           "(or PGSSLROOTCERT): the file has no certificate",
		"sslcert=DIR/cert.pem":                            "sslcert and sslkey: give both",
		"sslcert=DIR/none&sslkey=DIR/key.pem":             "sslcert (or PGSSLCERT): " + dir + "/none",
		"sslcert=DIR/cert.pem&sslkey=DIR/none":            "sslkey (or PGSSLKEY): " + dir + "/none",
		"sslcert=DIR/cert.pem&sslkey=DIR/empty":           "sslkey (or PGSSLKEY): the file has no private key",
		"sslcert=DIR/cert.pem&sslkey=DIR/other.pem":       "sslcert and sslkey: they are not a certificate",
		"target_session_attrs=hunter2":                    "target_session_attrs",
		"service=two&servicefile=DIR/service":             "the service file has no such entry",
		"service=two&servicefile=DIR/none":                "the service file cannot be read",
		"host=a,b,c&port=1,2":                             "one port for all hosts",
		"hostaddr=127.0.0.1":                              "hostaddr of the connection string is not supported",
		"gssencmode=require":                              "gssencmode of the connection string is not supported",
		"sslcrl=DIR/empty":                                "sslcrl of the connection string is not supported",
		"gssencmode=disable&keepalives=1&host=/nowhere/x": "does not answer",
	} {
		url := "postgres://app:hunter2@/d?host=127.0.0.1&" + strings.ReplaceAll(query, "DIR", dir)

		_, err := Open(Options{URL: secret.New(url), Key: testKey})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want %s", query, err, want)
		}
	}
}

func TestOnlyConnectionsToOtherMachinesNeedTLS(t *testing.T) {
	t.Setenv("HOME", t.TempDir())

	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pgtest.NewAuthority(t).PEM, 0o600); err != nil {
		t.Fatal(err)
	}

	const (
		plain = "may go without encryption"
		open  = "anybody could be at its other end"
	)

	for url, want := range map[string]string{
		"postgres://u@/d?host=/run/postgresql":                              "",
		"postgres://u@localhost/d":                                          "",
		"postgres://u@LocalHost/d?sslmode=disable":                          "",
		"postgres://u@127.0.0.1/d":                                          "",
		"postgres://u@127.9.9.9/d":                                          "",
		"postgres://u@[::1]/d":                                              "",
		"postgres://u@db.test/d":                                            plain, // libpq's default is prefer
		"postgres://u@db.test/d?sslmode=prefer":                             plain,
		"postgres://u@db.test/d?sslmode=allow":                              plain,
		"postgres://u@db.test/d?sslmode=disable":                            plain,
		"postgres://u@192.0.2.1/d":                                          plain,
		"postgres://u@localhost,db.test/d":                                  plain,
		"postgres://u@db.test/d?sslmode=require":                            open,
		"postgres://u@db.test/d?sslmode=require&sslrootcert=" + ca:          "",
		"postgres://u@db.test/d?sslmode=verify-ca&sslrootcert=" + ca:        "",
		"postgres://u@db.test/d?sslmode=verify-full":                        "",
		"postgres://u@db1.test:1,db2.test:2,db3.test/d?sslmode=verify-full": "",
	} {
		o := Options{URL: secret.New(url)}
		o.defaults()

		c, err := o.poolConfig()
		if err != nil {
			t.Fatal(err)
		}

		got := tlsWarning(c.ConnConfig)
		if want == "" && got != "" || !strings.Contains(got, want) ||
			want != "" && !strings.Contains(got, "add sslmode=verify-full") {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

func TestChangedFilesCountFromTheNextConnectionOn(t *testing.T) {
	t.Parallel()

	s := startTLS(t)
	passwords := filepath.Join(s.files, "pgpass")
	write := func(password string) {
		s.file(t, "pgpass", fmt.Appendf(nil, "localhost:*:*:encrypted:%s\n", password))
	}

	write(tlsPassword)

	o := s.options("encrypted", "localhost", "sslmode=verify-full&sslrootcert=FILES/ca.crt&passfile="+passwords)
	o.URL = secret.New(strings.Replace(o.URL.Reveal(), ":"+tlsPassword+"@", "@", 1))

	opened, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()

	look := func(ctx context.Context) error {
		_, err := opened.Keys(ctx)
		return err
	}

	d := &pgtest.Database{Server: s.Server, Name: s.name}
	d.Exec(t, `ALTER ROLE encrypted PASSWORD 'another'`)
	d.Disconnect(t)

	if err := look(t.Context()); !errors.Is(err, store.ErrDenied) {
		t.Errorf("with the old password: %v", err)
	}

	write("another")
	until(t, "the new password", look)

	// The file is away while it is being replaced, or for good.
	if err := os.Remove(passwords); err != nil {
		t.Fatal(err)
	}

	d.Disconnect(t)

	err = look(t.Context())
	if err == nil || !strings.Contains(err.Error(), passwords) {
		t.Errorf("without a password: %v", err)
	}
}
