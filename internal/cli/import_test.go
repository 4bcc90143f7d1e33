package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const arcsight = "#OAuth 2 client properties\nclient_ID=" + client +
	"\nclient_secret=\nauth_url=https\\://login.microsoftonline.com/" + contoso +
	"/oauth2/authorize?resource\\=https%3A%2F%2Fgraph.windows.net\ntoken_url=https\\://login.microsoftonline.com/" +
	contoso + "/oauth2/token\n"

func TestImportTakesOverAnArcSightFileAndPrintsAnInput(t *testing.T) {
	w := newWorld(t)
	file := w.file("WDATP-connector.properties", arcsight)
	rt := w.file("rt", seedToken+"\n")
	r := w.expect(
		w.run("tokens", "import", file, "--tenant-name", "contoso", "--region", "eu", "--refresh-token-file",
			rt, "--client-secret-file", w.secretFile()),
		0,
	)
	contains(t, r.out, "[INPUT]", "Name defender", "Threaded Off", "storage.type filesystem",
		"tenant_id "+contoso, "client_id "+client, "client_secret_file "+w.secretFile(),
		"resource https://graph.windows.net", "region eu", "api siem", "data_dir "+w.dir)
	noSecret(t, r)

	list := parse[[]map[string]any](t, w.run("tokens", "list", "--json").out)
	if len(list) != 1 || list[0]["login_host"] != "login.microsoftonline.com" || list[0]["tenant"] != "contoso" {
		t.Errorf("listed: %v", list)
	}
	// The printed input is ready: the check of the files has nothing to say but what
	// belongs to other sections.
	conf := w.file(
		"ready.conf",
		"[SERVICE]\n    storage.path /x\n"+r.out+"[OUTPUT]\n    Name stdout\n    Match defender.*\n"+
			"    Retry_Limit no_limits\n",
	)
	w.expect(w.run("check", "--offline", conf), 0)
}

func TestImportAsksForWhatTheFileLeavesBlank(t *testing.T) {
	w := newWorld(t)
	file := w.file("WDATP-connector.properties", arcsight)
	out := filepath.Join(filepath.Dir(w.dir), "kept")
	r := w.expect(
		w.with(t.Context(), appSecret+"\n"+seedToken+"\nEU\n", "tokens", "import", file, "--secret-out", out),
		0,
	)
	contains(t, r.err, "secret blank", "Refresh token", "Region")
	contains(t, r.out, "client_secret_file "+out, "region eu")
	noSecret(t, r)

	if text := must(os.ReadFile(out)); strings.TrimSpace(string(text)) != appSecret {
		t.Error("the secret was not written")
	}
	// Without answers it says which flag is missing.
	contains(t, w.expect(w.run("tokens", "import", file), 2).err, "--refresh-token-file")
	contains(t, w.expect(w.with(t.Context(), appSecret+"\n"+seedToken+"\n", "tokens", "import", file), 2).err,
		"--region")
	contains(t, w.expect(w.with(t.Context(), "\n"+seedToken+"\nus\n", "tokens", "import", file), 0).out,
		"client_secret ${DEFENDER_CLIENT_SECRET}")
}

func TestImportTakesOverASplunkFileOfWhichTheTokenWorks(t *testing.T) {
	w := newWorld(t)
	file := w.file(
		"splunk.properties",
		"[rest://defender]\n"+
			"endpoint = "+w.APIURL("siem")+"/api/alerts\n"+
			"oauth2_client_id = "+client+"\n"+
			"oauth2_client_secret = "+appSecret+"\n"+
			"oauth2_refresh_token = "+seedToken+"\n"+
			"oauth2_refresh_url = "+w.LoginURL()+"/"+contoso+"/oauth2/token\n"+
			"oauth2_refresh_props = resource=https://graph.windows.net\n",
	)
	r := w.expect(
		w.run("tokens", "import", file, "--tenant-name", "contoso", "--api-url", w.APIURL("siem"), "--json"),
		0,
	)

	got := parse[map[string]any](t, r.out)
	contains(t, got["input"].(string), "login_url "+w.LoginURL(), "client_secret ${DEFENDER_CLIENT_SECRET}")
	noSecret(t, r)
	w.expect(w.run(append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...)...), 0)
}

func TestImportRefusesWhatIsNoConnectorsFile(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run("tokens", "import", w.file("x", "a=b\n")), 1)
	w.expect(w.run("tokens", "import", "/nonexistent"), 1)
	w.expect(w.run("tokens", "import"), 2)

	if _, err := os.Stat(w.dir); err == nil {
		t.Error("the data directory was made")
	}
}

// splunk is a Splunk authentication properties file for a tenant, with the host of its
// events.
func splunk(login, events string) string {
	return "[rest://defender]\nendpoint = " + events + "/api/alerts\noauth2_client_id = " + client +
		"\noauth2_client_secret = " + appSecret +
		"\noauth2_refresh_token = " + seedToken + "\noauth2_refresh_url = " + login + "/" + contoso +
		"/oauth2/token\noauth2_refresh_props = resource=https://graph.windows.net\n"
}

func TestImportTakesTheCloudFromTheHostOfTheEvents(t *testing.T) {
	const com, gov = "https://login.microsoftonline.com", "https://login.microsoftonline.us"
	for name, c := range map[string]struct {
		login, events string
		flags         []string
		has, not      []string
	}{
		"commercial": {com, "https://wdatp-alertexporter-eu.windows.com", nil, []string{"region eu"},
			[]string{"cloud ", "api_url"}},
		"gcc": {com, "https://wdatp-alertexporter-us.gcc.securitycenter.windows.us", nil,
			[]string{"cloud gcc ", "region us"}, []string{"api_url"}},
		"gcc high": {gov, "https://wdatp-alertexporter-us.securitycenter.windows.us", nil, []string{"cloud gcchigh"},
			[]string{"api_url", "login_url"}},
		"a host elsewhere": {com, "https://exporter.example.com:8443", nil,
			[]string{"api_url https://exporter.example.com:8443"}, []string{"region"}},
		"of another cloud": {com, "https://wdatp-alertexporter-us.securitycenter.windows.us", nil,
			[]string{"api_url https://wdatp-alertexporter-us.securitycenter.windows.us"}, []string{"cloud "}},
		"a flag goes first": {com, "https://wdatp-alertexporter-eu.windows.com", []string{"--region", "uk"},
			[]string{"region uk"}, []string{"api_url"}},
		"the api as a flag": {com, "https://wdatp-alertexporter-eu.windows.com", []string{"--api", "siem"},
			[]string{"region eu"}, []string{"api_url"}},
		"dod as a flag": {gov, "https://wdatp-alertexporter-us.securitycenter.windows.us", []string{"--cloud", "dod"},
			[]string{"cloud dod"}, []string{"api_url"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			args := append(
				[]string{"tokens", "import", w.file("splunk.properties", splunk(c.login, c.events))},
				c.flags...)
			r := w.expect(w.run(args...), 0)
			contains(t, r.out+" ", c.has...)

			flat := strings.Join(strings.Fields(r.out), " ") + " "
			for _, not := range c.not {
				if strings.Contains(flat, " "+not) {
					t.Errorf("%q is in:\n%s", not, r.out)
				}
			}
		})
	}
}

func TestImportPrintsPathsThatHoldInEveryDirectory(t *testing.T) {
	w := newWorld(t)
	w.key("k")
	t.Chdir(filepath.Dir(w.dir))
	file := w.file(
		"splunk.properties",
		splunk("https://login.microsoftonline.com", "https://wdatp-alertexporter-eu.windows.com"),
	)
	_, pem := certificate(t, time.Hour*24*30)
	w.file("ca.pem", pem)
	r := w.expect(w.run("tokens", "import", file, "--key-file", "k.key", "--ca-file", "ca.pem"), 0)
	contains(t, r.out, "key_file "+w.key("k"), "ca_file "+filepath.Join(filepath.Dir(w.dir), "ca.pem"))
}

func TestImportNamesTheFileAndWhatItLacks(t *testing.T) {
	w := newWorld(t)
	file := w.file(
		"half.properties",
		"client_id="+client+"\nrefresh_token="+seedToken+"\nclient_secret="+appSecret+"\n",
	)
	contains(t, w.expect(w.run("tokens", "import", file, "--region", "eu"), 2).err, file, "token_url", "--tenant-id")
	r := w.expect(w.run("tokens", "import", file, "--region", "eu", "--tenant-id", contoso), 0)
	contains(t, r.out, "tenant_id "+contoso, "region eu")

	if strings.Contains(r.out, "login_url") {
		t.Error(r.out)
	}

	file = w.file(
		"other.properties",
		"token_url=https://login.microsoftonline.com/"+contoso+"/oauth2/token\nrefresh_token="+seedToken+
			"\nclient_secret="+appSecret+"\n",
	)
	contains(t, w.expect(w.run("tokens", "import", file, "--region", "eu"), 2).err, file, "client_id", "--client-id")
}

func TestImportWarnsOfAFileThatOthersCanRead(t *testing.T) {
	w := newWorld(t)

	file := w.file(
		"splunk.properties",
		splunk("https://login.microsoftonline.com", "https://wdatp-alertexporter-eu.windows.com"),
	)
	if r := w.expect(w.run("tokens", "import", file), 0); strings.Contains(r.err, "other users") {
		t.Error(r.err)
	}

	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}

	contains(t, w.expect(w.run("tokens", "import", file), 0).err, "other users may read", "0640")
}

func TestImportRefusesWhatCannotBeARefreshToken(t *testing.T) {
	for name, token := range map[string]string{
		"beyond ASCII": seedToken + "–",
		"too long":     strings.Repeat("x", 17<<10),
	} {
		w := newWorld(t)
		file := w.file("WDATP-connector.properties", arcsight)
		rt := w.file("rt", token)
		r := w.expect(w.run("tokens", "import", file, "--region", "eu", "--refresh-token-file", rt,
			"--client-secret-file", w.secretFile()), 2)
		contains(t, r.err, "the refresh token", "token", "nothing was stored")
		noSecret(t, r)

		if list := w.run("tokens", "list", "--json").out; strings.TrimSpace(list) != "[]" {
			t.Errorf("%s: listed: %s", name, list)
		}
	}
}
