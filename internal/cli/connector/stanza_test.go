package connector

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"
)

const (
	other    = "aaaaaaaa-8888-4777-8666-555555555552"
	login    = "https://login.microsoftonline.com/"
	urlOfA   = "oauth2_refresh_url = " + login + tenant + "/oauth2/token\n"
	urlOfB   = "oauth2_refresh_url = " + login + other + "/oauth2/token\n"
	partsOfA = "oauth2_client_id = app-a\noauth2_client_secret = secret-a\noauth2_refresh_token = token-a\n"
)

// summary writes what was read of each stanza in one line: name, tenant, client,
// secret, token.
func summary(all []Stanza) string {
	var lines []string

	short := strings.NewReplacer(tenant, "A", other, "B")

	for _, s := range all {
		if s.Err != nil {
			lines = append(lines, s.Name+" refused")
			continue
		}

		line := strings.Join(
			[]string{s.Name, short.Replace(s.TenantID), s.ClientID, s.ClientSecret.Reveal(), s.RefreshToken.Reveal()},
			" ",
		)
		if s.Disabled {
			line += " disabled"
		}

		lines = append(lines, line)
	}

	return strings.Join(lines, "; ")
}

// mixedStanzas are files in which one stanza could be taken for a part of another.
var mixedStanzas = map[string]struct{ text, want string }{
	"two, the second one half": {
		"[rest://a]\n" + urlOfA + partsOfA + "\n[rest://b]\ndisabled = 1\n" + urlOfB,
		"rest://a A app-a secret-a token-a; rest://b B    disabled",
	},
	"the common application, tokens of each": {
		"[default]\noauth2_client_id = app\noauth2_client_secret = s\n[a]\n" + urlOfA +
			"oauth2_refresh_token = ta\n[b]\n" + urlOfB + "oauth2_refresh_token = tb\n",
		"a A app s ta; b B app s tb",
	},
	"a common token goes with its tenant only": {
		"[default]\n" + urlOfA + partsOfA + "[a]\nendpoint = https://x\n[b]\n" + urlOfB +
			"[c]\nendpoint = https://y\n",
		"a A app-a secret-a token-a; b B app-a secret-a ; c A app-a secret-a token-a",
	},
	"a common secret goes with its application only": {
		"[default]\n" + urlOfA + partsOfA + "[b]\noauth2_client_id = app-b\n",
		"b A app-b  ",
	},
	"what stands before the first header is common": {
		"oauth2_client_id = app\n[a]\n" + urlOfA + "[b]\n" + urlOfB,
		"a A app  ; b B app  ",
	},
	"a common sign-in page is not the tenant of a stanza": {
		"[default]\noauth2_auth_url = " + login + tenant + "/oauth2/authorize\n[b]\n" + urlOfB +
			"oauth2_client_id = app\n",
		"b B app  ",
	},
	"a stanza that comes again goes on": {
		"[a]\n" + urlOfA + "[b]\n" + urlOfB + "oauth2_client_id = app-b\n[a]\n" + partsOfA,
		"a A app-a secret-a token-a; b B app-b  ",
	},
	"a stanza that comes again for another tenant": {
		"[a]\n" + urlOfA + partsOfA + "[a]\n" + urlOfB + "[b]\n" + urlOfB + "oauth2_client_id = app-b\n",
		"a refused; b B app-b  ",
	},
	"two files in one, without headers": {strings.ReplaceAll(urlOfA+partsOfA+urlOfB, " = ", "="), " refused"},
	"two names for one thing": {
		"client_id=app-a\noauth2_client_id=app-b\n" + strings.ReplaceAll(urlOfA, " = ", "="),
		" refused",
	},
	"a key that comes again, the same": {
		"[a]\n" + urlOfA + partsOfA + urlOfA + "oauth2_client_secret =\n",
		"a A app-a secret-a token-a",
	},
	"sign-in page and token address of two tenants": {
		"client_id=app\nauth_url=" + login + tenant + "/oauth2/authorize\ntoken_url=" + login + other +
			"/oauth2/token\n",
		" refused",
	},
	"a sign-in page for all tenants": {
		"client_id=app\nauth_url=" + login + "common/oauth2/authorize\ntoken_url=" + login + other +
			"/oauth2/token\n",
		" B app  ",
	},
	"other stanzas are passed over": {
		"[default]\nhost = h\n[monitor:///var/log]\nurl = https://x\n[a]\n" + urlOfA + partsOfA + "[script://y]\n" +
			"disabled = 0\n",
		"a A app-a secret-a token-a",
	},
	"[default] alone": {"[default]\n" + urlOfA + partsOfA, " A app-a secret-a token-a"},
	"a continued value is no header": {
		"[a]\n" + urlOfA + "oauth2_client_secret = one\\\n[two]\noauth2_client_id = app\n",
		"a A app one[two] ",
	},
	"backslashes of Splunk are letters": {
		"[a]\n" + urlOfA + "oauth2_client_secret = p\\tq\\=r\noauth2_client_id = app\n",
		`a A app p\tq\=r `,
	},
	"a secret that Splunk has encrypted counts as blank": {
		"[a]\n" + urlOfA + "oauth2_client_secret = $7$abc==\noauth2_client_id = app\n",
		"a A app  ",
	},
}

func TestStanzasAreNeverMixed(t *testing.T) {
	for name, c := range mixedStanzas {
		t.Run(name, func(t *testing.T) {
			all, err := Read([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}

			if got := summary(all); got != c.want {
				t.Errorf("read  %q\nwant  %q", got, c.want)
			}
		})
	}
}

func TestEveryEncodingOfAFileIsReadAlike(t *testing.T) {
	text := "[a]\r\n" + strings.ReplaceAll(urlOfA+partsOfA, "\n", "\r\n") + "# grüße\r\n"

	wide := func(order binary.AppendByteOrder, text string) []byte {
		var data []byte
		for _, u := range utf16.Encode([]rune(text)) {
			data = order.AppendUint16(data, u)
		}

		return data
	}
	for name, data := range map[string][]byte{
		"UTF-8":                        []byte(text),
		"UTF-8 with a mark":            []byte("\ufeff" + text),
		"UTF-16, little endian, mark":  wide(binary.LittleEndian, "\ufeff"+text),
		"UTF-16, big endian, mark":     wide(binary.BigEndian, "\ufeff"+text),
		"UTF-16, little endian":        wide(binary.LittleEndian, text),
		"UTF-16, big endian":           wide(binary.BigEndian, text),
		"ISO 8859-1":                   []byte(strings.ReplaceAll(text, "ü", "\xfc")),
		"lines that end with LF alone": []byte(strings.ReplaceAll(text, "\r\n", "\n")),
	} {
		all, err := Read(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := summary(all); got != "a A app-a secret-a token-a" {
			t.Errorf("%s: read %q", name, got)
		}
	}

	for name, data := range map[string][]byte{
		"half a character":        []byte("\xff\xfea"),
		"zeroes":                  []byte("client_id=\x00\n"),
		"a header without an end": []byte("[a\nclient_id=x\n"),
	} {
		if _, err := Read(data); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
