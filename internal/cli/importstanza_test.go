package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stanzaOf is a stanza of Splunk's inputs.conf for a tenant.
func stanzaOf(name, tenant, app, secret, token string) string {
	return "[rest://" + name + "]\nendpoint = https://wdatp-alertexporter-eu.windows.com/api/alerts\n" +
		"oauth2_client_id = " + app + "\noauth2_client_secret = " + secret + "\noauth2_refresh_token = " + token +
		"\noauth2_refresh_url = https://login.microsoftonline.com/" + tenant + "/oauth2/token\n"
}

func TestSeveralStanzasAreRefusedWithTheList(t *testing.T) {
	w := newWorld(t)
	file := w.file(
		"inputs.conf",
		stanzaOf("a", contoso, client, "sa", "ta")+stanzaOf("b", fabrikam, client, "sb", "tb")+"disabled = 1\n",
	)
	r := w.expect(w.run("tokens", "import", file), 2)
	contains(t, r.err, "2 stanzas", "--stanza", "--all", "rest://a tenant "+contoso,
		"rest://b tenant "+fabrikam+" (disabled)")

	if r.out != "" {
		t.Errorf("printed: %s", r.out)
	}

	if _, err := os.Stat(w.dir); err == nil {
		t.Error("something was stored")
	}
}

func TestEveryStanzaIsStoredUnderItsOwnTenant(t *testing.T) {
	w := newWorld(t)
	out := filepath.Join(filepath.Dir(w.dir), "secret")
	file := w.file("inputs.conf", stanzaOf("a", contoso, client, "secret-of-a", "token-of-a")+
		stanzaOf("b", fabrikam, public, "secret-of-b", "token-of-b")+
		stanzaOf("c", redirectless, client, "secret-of-c", "token-of-c")+"disabled = true\n")
	r := w.expect(w.run("tokens", "import", file, "--all", "--secret-out", out), 0)
	contains(t, r.err, "rest://c is disabled")

	sections := strings.Split(r.out, "[INPUT]")
	if len(sections) != 3 {
		t.Fatalf("%d sections:\n%s", len(sections)-1, r.out)
	}

	contains(t, sections[1], "tenant_id "+contoso, "tenant_name a", "Tag defender.a", "client_id "+client,
		"client_secret_file "+out+".a")
	contains(t, sections[2], "tenant_id "+fabrikam, "tenant_name b", "Tag defender.b", "client_id "+public,
		"client_secret_file "+out+".b")

	for name, want := range map[string]string{out + ".a": "secret-of-a", out + ".b": "secret-of-b"} {
		if got := strings.TrimSpace(string(must(os.ReadFile(name)))); got != want {
			t.Errorf("%s holds %q", name, got)
		}
	}

	if _, err := os.Stat(out); err == nil {
		t.Error("a secret of somebody is in the file without a name")
	}

	list := parse[[]map[string]any](t, w.run("tokens", "list", "--json").out)
	if len(list) != 2 {
		t.Errorf("stored: %v", list)
	}
	// Each token is that of its stanza: the ready configuration is checked without a
	// complaint about names or units.
	conf := w.file(
		"ready.conf",
		"[SERVICE]\n    storage.path /x\n"+r.out+"[OUTPUT]\n    Name stdout\n    Match defender.*\n"+
			"    Retry_Limit no_limits\n",
	)
	if got := w.run("check", "--offline", conf); strings.Contains(got.out, "error") {
		t.Errorf("the printed configuration is refused: %s", got.out)
	}
}

const redirectless = "99999999-8888-4777-8666-555555555553"

func TestOneStanzaIsChosenByItsName(t *testing.T) {
	w := newWorld(t)

	file := w.file(
		"inputs.conf",
		stanzaOf("Customer-A", contoso, client, "sa", "ta")+stanzaOf("customer-b", fabrikam, client, "sb", "tb"),
	)
	for name, tenant := range map[string]string{
		"rest://Customer-A": contoso,
		"customer-a":        contoso,
		"REST://CUSTOMER-B": fabrikam,
	} {
		r := w.expect(w.run("tokens", "import", file, "--stanza", name), 0)
		contains(t, r.out, "tenant_id "+tenant)

		if strings.Count(r.out, "[INPUT]") != 1 {
			t.Errorf("printed: %s", r.out)
		}
	}

	contains(t, w.expect(w.run("tokens", "import", file, "--stanza", "c"), 2).err, `no stanza "c"`,
		"rest://customer-b")
	w.expect(w.run("tokens", "import", file, "--stanza", "c", "--all"), 2)
}

func TestAStanzaThatCannotBeImportedHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	half := "[rest://half]\noauth2_refresh_url = https://login.microsoftonline.com/" + fabrikam + "/oauth2/token\n"
	twice := stanzaOf("twice", fabrikam, client, "sb", "tb") + "oauth2_refresh_token = another\n"
	file := w.file("inputs.conf", half+twice+stanzaOf("a", contoso, client, "sa", "ta"))
	r := w.expect(
		w.with(t.Context(), "of-nobody\nof-nobody\nof-nobody\n", "tokens", "import", file, "--all", "--json"),
		2,
	)
	contains(t, r.err, "rest://half: not imported", "rest://twice: not imported",
		"it is not clear what belongs together")

	list := parse[[]map[string]any](t, r.out)
	if len(list) != 3 || list[2]["tenant_id"] != contoso || list[2]["stored"] != true || list[0]["stored"] != false ||
		list[0]["problem"] == nil {
		t.Errorf("reported: %v", list)
	}

	if stored := parse[[]map[string]any](t, w.run("tokens", "list", "--json").out); len(stored) != 1 ||
		stored[0]["tenant_id"] != contoso {
		t.Errorf("stored: %v", stored)
	}

	contains(t, w.expect(w.run("tokens", "import", file, "--stanza", "twice"), 1).err, "line 9")
}

func TestFlagsOfOneTenantAreNotTakenForAll(t *testing.T) {
	w := newWorld(t)

	file := w.file(
		"inputs.conf",
		stanzaOf("a", contoso, client, "sa", "ta")+stanzaOf("b", fabrikam, public, "sb", "tb"),
	)
	for _, more := range [][]string{
		{"--tenant-id", contoso}, {"--tenant-name", "x"}, {"--refresh-token-file", w.file("rt", "x")},
		{"--client-secret-file", w.secretFile()},
	} {
		contains(t, w.expect(w.run(append([]string{"tokens", "import", file, "--all"}, more...)...), 2).err,
			"--stanza NAME instead of --all")
	}
	// The environment's secret is one application's: a stanza uses its own, and the
	// inputs get a variable each.
	w.env["DEFENDER_CLIENT_SECRET"] = "of-the-environment"
	r := w.expect(w.run("tokens", "import", file, "--all"), 0)
	contains(t, r.out, "client_secret ${DEFENDER_CLIENT_SECRET_A}", "client_secret ${DEFENDER_CLIENT_SECRET_B}")
	contains(t, r.err, "set DEFENDER_CLIENT_SECRET_A", "set DEFENDER_CLIENT_SECRET_B")
}

func TestTwoStanzasOfOneTenantBecomeTwoUnits(t *testing.T) {
	w := newWorld(t)
	eu := stanzaOf("eu", contoso, client, "s", "t")
	us := strings.Replace(stanzaOf("us", contoso, client, "s", "t"), "-eu.", "-us.", 1)
	file := w.file("inputs.conf", eu+us)
	r := w.expect(w.run("tokens", "import", file, "--all"), 0)
	sections := strings.Split(r.out, "[INPUT]")
	contains(t, sections[1], "region eu", "client_secret ${DEFENDER_CLIENT_SECRET}")
	contains(t, sections[2], "region us", "state_id us", "client_secret ${DEFENDER_CLIENT_SECRET}")

	if strings.Contains(sections[1], "state_id") {
		t.Error(sections[1])
	}
}

func TestImportWarnsOfAnUnknownSignInService(t *testing.T) {
	w := newWorld(t)
	file := w.file(
		"evil.conf",
		strings.Replace(
			stanzaOf("a", contoso, client, "s", "t"),
			"login.microsoftonline.com",
			"login.rnicrosoftonline.com",
			1,
		),
	)
	contains(t, w.expect(w.run("tokens", "import", file), 0).err, "warning", "login.rnicrosoftonline.com",
		"none of Microsoft's")

	file = w.file("good.conf", stanzaOf("a", contoso, client, "s", "t"))
	if r := w.expect(w.run("tokens", "import", file), 0); strings.Contains(r.err, "none of Microsoft's") {
		t.Error(r.err)
	}
}

func TestSecretsComeFromTheStandardInputToo(t *testing.T) {
	w := newWorld(t)

	args := w.acquire("siem")
	for i := range args {
		if args[i] == w.secretFile() {
			args[i] = "-"
		}
	}

	w.expect(w.with(t.Context(), appSecret+"\n", args...), 0)
	refresh := append([]string{"tokens", "refresh", "contoso"}, w.network("siem")...)
	refresh[len(refresh)-1] = "/dev/stdin"
	w.expect(w.with(t.Context(), appSecret+"\r\n", refresh...), 0)
	contains(t, w.expect(w.run(refresh...), 2).err, "--client-secret-file", "standard input is empty")
	w.expect(
		w.with(t.Context(), appSecret, "pull", "contoso", "--config", w.conf("siem"), "--client-secret-file", "-"),
		0,
	)

	file := w.file("half.properties", strings.ReplaceAll(arcsight, "client_secret=", "client_secret=x"))
	r := w.expect(
		w.with(t.Context(), seedToken+"\n", "tokens", "import", file, "--region", "eu", "--refresh-token-file", "-"),
		0,
	)
	contains(t, r.out, "tenant_id "+contoso)
	r = w.expect(w.with(t.Context(), stanzaOf("a", contoso, client, "s", "t"), "tokens", "import", "-"), 0)
	contains(t, r.out, "tenant_id "+contoso, "region eu")
}
