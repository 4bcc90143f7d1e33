package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const arcsight = "#OAuth 2 client properties\nclient_ID=" + client + "\nclient_secret=\nauth_url=https\\://login.microsoftonline.com/" + contoso +
	"/oauth2/authorize?resource\\=https%3A%2F%2Fgraph.windows.net\ntoken_url=https\\://login.microsoftonline.com/" + contoso + "/oauth2/token\n"

func TestImportTakesOverAnArcSightFileAndPrintsAnInput(t *testing.T) {
	w := newWorld(t)
	file := w.file("WDATP-connector.properties", arcsight)
	rt := w.file("rt", seedToken+"\n")
	r := w.expect(w.run("tokens", "import", file, "--tenant-name", "contoso", "--region", "eu", "--refresh-token-file", rt, "--client-secret-file", w.secretFile()), 0)
	contains(t, r.out, "[INPUT]", "Name defender", "Threaded Off", "storage.type filesystem", "tenant_id "+contoso, "client_id "+client, "client_secret_file "+w.secretFile(), "resource https://graph.windows.net", "region eu", "api siem", "data_dir "+w.dir)
	noSecret(t, r)
	list := parse[[]map[string]any](t, w.run("tokens", "list", "--json").out)
	if len(list) != 1 || list[0]["login_host"] != "login.microsoftonline.com" || list[0]["tenant"] != "contoso" {
		t.Errorf("listed: %v", list)
	}
	// The printed input is ready: the check of the files has nothing to say but what belongs to other sections.
	conf := w.file("ready.conf", "[SERVICE]\n    storage.path /x\n"+r.out+"[OUTPUT]\n    Name stdout\n    Match defender.*\n    Retry_Limit no_limits\n")
	w.expect(w.run("check", "--offline", conf), 0)
}

func TestImportAsksForWhatTheFileLeavesBlank(t *testing.T) {
	w := newWorld(t)
	file := w.file("WDATP-connector.properties", arcsight)
	out := filepath.Join(filepath.Dir(w.dir), "kept")
	r := w.expect(w.with(t.Context(), appSecret+"\n"+seedToken+"\nEU\n", "tokens", "import", file, "--secret-out", out), 0)
	contains(t, r.err, "secret blank", "Refresh token", "Region")
	contains(t, r.out, "client_secret_file "+out, "region eu")
	noSecret(t, r)
	if text := must(os.ReadFile(out)); strings.TrimSpace(string(text)) != appSecret {
		t.Error("the secret was not written")
	}
	// Without answers it says which flag is missing.
	contains(t, w.expect(w.run("tokens", "import", file), 2).err, "--refresh-token-file")
	contains(t, w.expect(w.with(t.Context(), appSecret+"\n"+seedToken+"\n", "tokens", "import", file), 2).err, "--region")
	contains(t, w.expect(w.with(t.Context(), "\n"+seedToken+"\nus\n", "tokens", "import", file), 0).out, "client_secret ${DEFENDER_CLIENT_SECRET}")
}

func TestImportTakesOverASplunkFileOfWhichTheTokenWorks(t *testing.T) {
	w := newWorld(t)
	file := w.file("splunk.properties", "[rest://defender]\nendpoint = "+w.APIURL("siem")+"/api/alerts\noauth2_client_id = "+client+"\noauth2_client_secret = "+appSecret+
		"\noauth2_refresh_token = "+seedToken+"\noauth2_refresh_url = "+w.LoginURL()+"/"+contoso+"/oauth2/token\noauth2_refresh_props = resource=https://graph.windows.net\n")
	r := w.expect(w.run("tokens", "import", file, "--tenant-name", "contoso", "--api-url", w.APIURL("siem"), "--json"), 0)
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
