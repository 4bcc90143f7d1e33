package connector

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const tenant = "99999999-8888-4777-8666-555555555551"

// arcsight is written after the page "Configure ArcSight"; the portal leaves the secret
// blank.
const arcsight = `#OAuth 2 client properties
client_ID=11111111-2222-4333-8444-555555555555
client_secret=
auth_url=https\://login.microsoftonline.com/` + tenant + `/oauth2/authorize?resource\=https%3A%2F%2Fgraph.windows.net
token_url=https\://login.microsoftonline.com/` + tenant + `/oauth2/token
redirect_uri=https\://localhost\:44300/wdatpconnector
scope=
reauthenticate=true
`

const splunk = `[rest://defender]
endpoint = https://wdatp-alertexporter-eu.securitycenter.windows.com/api/alerts
auth_type = oauth2
oauth2_client_id = 11111111-2222-4333-8444-555555555555
oauth2_client_secret = a+b/c=d%e~
oauth2_refresh_token = 0.token
oauth2_refresh_url = https://login.microsoftonline.com/` + tenant + `/oauth2/token
oauth2_refresh_props = x=y, resource=https://graph.windows.net
polling_interval = 60
`

func TestConnectorFilesAreRead(t *testing.T) {
	const (
		client = "11111111-2222-4333-8444-555555555555"
		login  = "https://login.microsoftonline.com"
		graph  = "https://graph.windows.net"
	)

	for name, c := range map[string]struct {
		text                                                     string
		tenant, client, login, secret, refresh, resource, region string
	}{
		"arcsight":        {arcsight, tenant, client, login, "", "", graph, ""},
		"splunk":          {splunk, tenant, client, login, "a+b/c=d%e~", "0.token", graph, "eu"},
		"windows lines":   {strings.ReplaceAll(arcsight, "\n", "\r\n"), tenant, client, login, "", "", graph, ""},
		"byte order mark": {"\ufeff" + splunk, tenant, client, login, "a+b/c=d%e~", "0.token", graph, "eu"},
		"capital keys": {"CLIENT_ID=" + client +
			"\nTOKEN_URL=https://LOGIN.microsoftonline.com/Contoso.OnMicrosoft.com/oauth2/token\n",
			"contoso.onmicrosoft.com", client, login, "", "", "", ""},
		"old resource": {strings.ReplaceAll(arcsight, "graph.windows.net", "WDATPAlertExport.Seville.onmicrosoft.com"),
			tenant, client, login, "", "", "https://WDATPAlertExport.Seville.onmicrosoft.com", ""},
		"unicode escape": {"client_id=" + client +
			"\nclient_secret=p\\u00e4ss\\=\\\\\ntoken_url=https://login.microsoftonline.com/" + tenant +
			"/oauth2/token", tenant,
			client, login, `päss=\`, "", "", ""},
		"auth_url alone": {"client_id=" + client + "\nauth_url=https://login.microsoftonline.com/" + tenant +
			"?resource=https%3A%2F%2Fgraph.windows.net\n", tenant, client, login, "", "", graph, ""},
		"colons, blanks": {"client_id : " + client + "  \n  token_url:https://login.microsoftonline.us/" + tenant +
			"/oauth2/token\n", tenant, client, "https://login.microsoftonline.us", "", "", "", ""},
		"saved details": {"OAuth 2 Token refresh URL: https://login.microsoftonline.com/" + tenant +
			"/oauth2/token\nOAuth 2 Client ID: " + client + "\nOAuth 2 Client secret: abc\n", tenant, client, login,
			"abc", "", "", ""},
		"expansion is off": {"client_id=" + client +
			"\nclient_secret=${HOME}\ntoken_url=https://login.microsoftonline.com/" +
			tenant + "/oauth2/token\n", tenant, client, login, "${HOME}", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := only(c.text)
			if err != nil {
				t.Fatal(err)
			}

			got := [...]string{
				s.TenantID,
				s.ClientID,
				s.LoginURL,
				s.ClientSecret.Reveal(),
				s.RefreshToken.Reveal(),
				s.Resource,
				s.Region,
			}
			if want := [...]string{
				c.tenant,
				c.client,
				c.login,
				c.secret,
				c.refresh,
				c.resource,
				c.region,
			}; got != want {
				t.Errorf("read  %q\nwant  %q", got, want)
			}

			if c.secret != "" && strings.Contains(fmt.Sprintf("%v %+v %#v", s, s, s), c.secret) {
				t.Error("a printed one shows the secret")
			}
		})
	}
}

func TestWhatIsNoConnectorsFileIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "other properties": "a=b\n", "html": "<html>",
		"no tenant":  "client_id=x\ntoken_url=https://login.microsoftonline.com/\n",
		"no address": "client_id=x\ntoken_url=nonsense\n", "broken escape": "client_secret=\\u00zz\n",
		"too large":               strings.Repeat("#", MaxBytes+1),
		"password in the address": "client_id=x\ntoken_url=https://a:hidden@login.microsoftonline.com/t/oauth2/token\n",
	} {
		if _, err := only(text); err == nil {
			t.Errorf("%s was taken", name)
		} else if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "zz") {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
	}

	if _, err := Read([]byte("a=b")); !errors.Is(err, ErrNothing) {
		t.Errorf("got %v", err)
	}
}

// only reads a file with one connector.
func only(text string) (Settings, error) {
	all, err := Read([]byte(text))
	if err != nil {
		return Settings{}, err
	}

	return all[0].Settings, all[0].Err
}

func FuzzRead(f *testing.F) {
	f.Add(arcsight)
	f.Add(splunk)
	f.Add("OAuth 2 Client ID: x\n")
	f.Add("[default]\nclient_id=x\n[a]\nrefresh_token=y\n[b]\ntoken_url=https://l/t\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Read([]byte(text))
		if err == nil && len(all) == 0 {
			t.Error("neither a connector nor an error")
		}

		for _, s := range all {
			if s.TenantID != "" &&
				(!strings.HasPrefix(s.LoginURL, "http") ||
					strings.ContainsAny(s.TenantID, "/ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
				t.Errorf("tenant %q at %q", s.TenantID, s.LoginURL)
			}
		}
	})
}
