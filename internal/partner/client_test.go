package partner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

const (
	hush     = "eyJhbGciOiJub25lIn0.a-token-that-nobody-may-see.x"
	contoso  = "99999999-8888-4777-8666-555555555551"
	fabrikam = "99999999-8888-4777-8666-555555555552"
	reader   = "5d6b6bb7-de71-4623-b4af-96380a352509"
	appAdmin = "158c047a-c907-4556-b7ef-446551a6b5f7"
)

// source is a sign-in that always succeeds. A token ends when it is invalidated.
type source struct{ issued, invalidated atomic.Int64 }

func (s *source) Token(context.Context) (tokens.Access, error) {
	return tokens.Access{Token: secret.New(hush + fmt.Sprint(s.issued.Add(1)))}, nil
}

func (s *source) Invalidate(tokens.Access) { s.invalidated.Add(1) }

// serve returns a client of a server, and its sign-in. The client never waits.
func serve(t *testing.T, handler http.HandlerFunc) (*Client, *source) {
	t.Helper()

	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	s := &source{}

	return New(Settings{
		GraphURL:   server.URL,
		PartnerURL: server.URL,
		LoginURL:   server.URL,
		HTTP:       server.Client(),
		Graph:      s,
		Partner:    s,
		Now:        time.Now,
		Sleep:      func(context.Context, time.Duration) error { return nil },
	}), s
}

// relation is a row as the service writes it.
func relation(id, name, status, relationship string, more ...string) string {
	quoted, _ := json.Marshal(name)
	row := fmt.Sprintf(`{"displayName":%q,"status":%q,"customer":{"tenantId":%q,"displayName":%s}`, relationship,
		status, id, quoted)

	return row + strings.Join(append([]string{""}, more...), ",") + "}"
}

func rolesOf(ids ...string) string {
	var all []string
	for _, id := range ids {
		all = append(all, fmt.Sprintf(`{"roleDefinitionId":%q}`, id))
	}

	return `"accessDetails":{"unifiedRoles":[` + strings.Join(all, ",") + `]}`
}

func answerWith(rows ...string) string { return `{"value":[` + strings.Join(rows, ",") + `]}` }

func TestWhichRelationshipsMakeACustomer(t *testing.T) {
	for name, c := range map[string]struct {
		rows []string
		want string
	}{
		"active and expiring": {
			[]string{
				relation(contoso, "Contoso", "active", "A"),
				relation(fabrikam, "Fabrikam", "expiring", "B"),
			},
			"Contoso Fabrikam",
		},
		"ended, waiting, refused": {
			[]string{
				relation(contoso, "Contoso", "terminated", "A"),
				relation(fabrikam, "F", "approvalPending", "B"),
				relation(fabrikam, "F", "expired", "B"),
			},
			"",
		},
		"Microsoft-led": {[]string{relation(contoso, "Contoso", "active", "MLT_contoso_1")}, ""},
		"Microsoft-led, and another": {
			[]string{relation(contoso, "Contoso", "active", "MLT_contoso_1"),
				relation(contoso, "Contoso", "active", "ours")},
			"Contoso",
		},
		"no customer": {[]string{`{"displayName":"new","status":"active","customer":null}`, `{"status":"active"}`}, ""},
		"one customer, three times": {
			[]string{
				relation(contoso, "Contoso", "active", "A"),
				relation(strings.ToUpper(contoso), "Contoso", "expiring", "B"),
				relation(contoso, "", "terminated", "C"),
			},
			"Contoso",
		},
		"an id that is none": {[]string{relation("../../x", "Evil", "active", "A"),
			relation("", "Nobody", "active", "A")}, ""},
		"an unknown state":        {[]string{relation(contoso, "Contoso", "unknownFutureValue", "A")}, ""},
		"a name with line breaks": {[]string{relation(contoso, "Con\ntoso\x1b[0m", "active", "A")}, "Con toso[0m"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, answerWith(c.rows...))
			})
			list, err := client.Customers(t.Context())

			var got []string
			for _, customer := range list {
				got = append(got, customer.Name)
			}

			if err != nil || strings.Join(got, " ") != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestACustomerHasItsLongestRelationship(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, answerWith(
			relation(contoso, "Contoso", "active", "no role",
				`"endDateTime":"2028-01-01T00:00:00Z"`, `"autoExtendDuration":"P180D"`, rolesOf(appAdmin)),
			relation(contoso, "Contoso", "active", "short",
				`"endDateTime":"2027-01-01T00:00:00Z"`, `"autoExtendDuration":"PT0S"`, rolesOf(reader, reader)),
			relation(contoso, "Contoso", "active", "long",
				`"endDateTime":"2027-06-01T00:00:00.1234567Z"`, `"autoExtendDuration":"P0D"`,
				rolesOf(strings.ToUpper(reader))),
		))
	})

	list, err := client.Customers(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}

	c := list[0]
	if r := c.Lasting(); r.Name != "long" || r.AutoExtends || r.Ends.Month() != time.June {
		t.Errorf("%+v", r)
	}

	if !c.ReadsAlerts() || !c.CanConsent() {
		t.Errorf("roles %v", c.Roles())
	}

	if got := RoleNames(c.Roles()); !slices.Equal(got, []string{"Security Reader", "Cloud Application Administrator"}) {
		t.Errorf("%q", got)
	}
}

func TestPagesAreFollowedToTheEnd(t *testing.T) {
	var asked []string

	client, s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer "+hush) {
			t.Errorf("authorization %q", got)
		}

		switch r.URL.Query().Get("$skiptoken") {
		case "":
			fmt.Fprintf(w, `{"value":[%s],"@odata.nextLink":"http://%s/v1.0/x?$skiptoken=2"}`,
				relation(contoso, "Contoso", "active", "A"), r.Host)
		case "2":
			fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"http://%s/v1.0/x?$skiptoken=3"}`, r.Host)
		default:
			io.WriteString(w, answerWith(relation(fabrikam, "Fabrikam", "active", "A")))
		}
	})

	list, err := client.Customers(t.Context())
	if err != nil || len(list) != 2 || len(asked) != 3 || s.invalidated.Load() != 0 {
		t.Errorf("%v, %v, %q", list, err, asked)
	}

	if !strings.Contains(asked[0], "$select=id,displayName,status,customer") {
		t.Errorf("asked %q", asked[0])
	}
}

// halfList is a list of customers that does not arrive whole, and what is said of it.
type halfList struct {
	answer  func(r *http.Request) (int, string)
	problem string
	fate    advice.Fate
}

func halfLists() map[string]halfList {
	first := func(next string) string {
		return fmt.Sprintf(`{"value":[%s],"@odata.nextLink":%q}`, relation(contoso, "Contoso", "active", "A"), next)
	}

	return map[string]halfList{
		"a loop": {
			func(r *http.Request) (int, string) { return 200, first("http://" + r.Host + "/again") },
			"without end",
			advice.TryAgain,
		},
		"another host": {
			func(*http.Request) (int, string) { return 200, first("http://127.0.0.9:1/v1.0/next") },
			"another host",
			advice.TryAgain,
		},
		"another scheme": {
			func(r *http.Request) (int, string) { return 200, first("ftp://" + r.Host + "/") },
			"another host",
			advice.TryAgain,
		},
		"a user in it": {
			func(r *http.Request) (int, string) { return 200, first("http://u:p@" + r.Host + "/") },
			"another host",
			advice.TryAgain,
		},
		"only the scheme": {func(*http.Request) (int, string) { return 200, first("//127.0.0.9/next") }, "another host",
			advice.TryAgain},
		"a relative loop": {func(*http.Request) (int, string) { return 200, first("/v1.0/next") }, "without end",
			advice.TryAgain},
		"cut": {func(*http.Request) (int, string) { return 200, first("x")[:90] }, "cannot be read",
			advice.TryAgain},
		"no list": {func(*http.Request) (int, string) { return 200, `{}` }, "cannot be read", advice.TryAgain},
		"null": {func(*http.Request) (int, string) { return 200, `{"value":null}` }, "cannot be read",
			advice.TryAgain},
		"a strange row": {func(*http.Request) (int, string) { return 200, `{"value":[17]}` }, "row that cannot",
			advice.TryAgain},
		"no status": {
			func(*http.Request) (int, string) { return 200, `{"value":[{"customer":{}}]}` },
			"row that cannot",
			advice.TryAgain,
		},
		"empty":     {func(*http.Request) (int, string) { return 200, `` }, "cannot be read", advice.TryAgain},
		"500":       {func(*http.Request) (int, string) { return 500, `oops` }, "500", advice.TryAgain},
		"throttled": {func(*http.Request) (int, string) { return 429, `` }, "too many requests", advice.TryAgain},
		"redirect":  {func(*http.Request) (int, string) { return 302, `` }, "redirect", advice.NeedsFix},
		"403": {
			func(*http.Request) (int, string) { return 403, `{"error":{"code":"Forbidden"}}` },
			"may not see",
			advice.NotAuthorised,
		},
		"401": {func(*http.Request) (int, string) { return 401, `` }, "does not accept", advice.NewToken},
		"404": {func(*http.Request) (int, string) { return 404, `` }, "graph_url", advice.NeedsFix},
	}
}

func TestHalfAListIsAnError(t *testing.T) {
	for name, c := range halfLists() {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				status, text := c.answer(r)
				w.WriteHeader(status)
				io.WriteString(w, text)
			})
			list, err := client.Customers(t.Context())

			var e *Error
			if list != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), c.problem) || e.Fate != c.fate ||
				!e.Reason.Known() {
				t.Errorf("got %v, %v", list, err)
			}
		})
	}
}

func TestAnEndlessPageIsGivenUp(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		blanks := []byte(strings.Repeat(" ", 1<<20))
		for range 32 {
			if _, err := w.Write(blanks); err != nil {
				return
			}
		}
	})
	if _, err := client.Customers(t.Context()); err == nil || !strings.Contains(err.Error(), "without end") {
		t.Errorf("got %v", err)
	}
}

func TestATokenThatEndedIsRenewedOnce(t *testing.T) {
	calls := 0
	client, s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}

		io.WriteString(w, answerWith(relation(contoso, "Contoso", "active", "A")))
	})

	list, err := client.Customers(t.Context())
	if err != nil || len(list) != 1 || s.issued.Load() != 2 || s.invalidated.Load() != 1 {
		t.Errorf("%v, %v, %d tokens", list, err, s.issued.Load())
	}
}

func TestAServiceInTroubleIsAskedAgain(t *testing.T) {
	calls := 0
	client, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls < tries {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)

			return
		}

		io.WriteString(w, answerWith(relation(contoso, "Contoso", "active", "A")))
	})

	var waits []time.Duration

	client.s.Sleep = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }

	list, err := client.Customers(t.Context())
	if err != nil || len(list) != 1 || len(waits) != 2 || waits[0] != 7*time.Second {
		t.Errorf("%v, %v, %v", list, err, waits)
	}
}

func TestNoErrorQuotesATokenOrAText(t *testing.T) {
	for _, status := range []int{200, 302, 400, 401, 403, 404, 409, 429, 500} {
		client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			echo := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			w.Header().Set("Location", "http://"+echo+"/")
			w.Header().Set("request-id", echo)
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"code":%q,"message":%q},"code":%q}`, echo, echo, echo)
		})
		_, listErr := client.Customers(t.Context())

		_, consentErr := client.Consent(t.Context(), contoso, "app", nil)
		for _, err := range []error{listErr, consentErr} {
			if err != nil && (strings.Contains(err.Error(), "eyJ") || strings.Contains(err.Error(), "nobody")) {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

func TestNamelessCustomersAreNamed(t *testing.T) {
	third := "99999999-8888-4777-8666-555555555553"
	client, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "delegatedAdminRelationships"):
			io.WriteString(w, answerWith(relation(contoso, "", "active", "A"), relation(fabrikam, "", "active", "A"),
				relation(third, "", "active", "A")))
		case strings.HasSuffix(r.URL.Path, "delegatedAdminCustomers"):
			fmt.Fprintf(w, `{"value":[{"id":"x","tenantId":%q,"displayName":"Contoso"}]}`, contoso)
		case strings.HasSuffix(r.URL.Path, "findTenantInformationByTenantId(tenantId='"+fabrikam+"')"):
			io.WriteString(w, `{"displayName":"Fabrikam"}`)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	})

	list, err := client.Customers(t.Context())
	if err != nil || len(list) != 3 || list[0].Name != third || list[1].Name != "Contoso" ||
		list[2].Name != "Fabrikam" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestConsentSaysWhatBecameOfIt(t *testing.T) {
	const exists = `{"code":1000,"description":"Permission entry already exists.","source":"PartnerFD"}`
	for name, c := range map[string]struct {
		status int
		body   string
		want   Outcome
		fate   advice.Fate
		remedy string
	}{
		"made":              {201, `{}`, Consented, 0, ""},
		"there before":      {409, exists, ConsentedBefore, 0, ""},
		"there before, 400": {400, exists, ConsentedBefore, 0, ""},
		"without MFA": {401, `{"code":"900421","description":"MFA required"}`, 0, advice.NeedsSignIn,
			"sign in again with MFA"},
		"number":      {401, `{"code":900421}`, 0, advice.NeedsSignIn, "sign in again with MFA"},
		"another app": {403, `{"code":"403"}`, 0, advice.NotAuthorised, "AdminAgents"},
		"no customer": {404, `{}`, 0, advice.NeedsFix, "customer"},
		"no service": {
			400,
			`{"description":"The service principal fc780465 does not exist"}`,
			0,
			advice.NotAuthorised,
			"security.microsoft.com",
		},
		"else": {400, `{}`, 0, advice.NeedsFix, "partner_url"},
	} {
		t.Run(name, func(t *testing.T) {
			client, s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var got consentBody
				if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.Method != http.MethodPost ||
					r.URL.Path != "/v1/customers/"+contoso+"/applicationconsents" || got.ApplicationID != "app" ||
					len(got.ApplicationGrants) != 1 || got.ApplicationGrants[0] != (consentGrant{"api", "A,B"}) {
					t.Errorf("%s %s %+v, %v", r.Method, r.URL, got, err)
				}

				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			got, err := client.Consent(t.Context(), contoso, "app", []Grant{{"api", []string{"A", "B"}}})

			var e *Error

			if got != c.want || (err != nil) != (c.want == 0) {
				t.Fatalf("got %v, %v", got, err)
			}

			if err != nil && (!errors.As(err, &e) || e.Fate != c.fate || !strings.Contains(e.Remedy, c.remedy)) {
				t.Errorf("got %+v", err)
			}

			if c.fate == advice.NeedsSignIn && s.invalidated.Load() != 0 {
				t.Error("a token without MFA is not renewed: the next one would have none either")
			}
		})
	}
}

func TestTheCloudOfATenantIsPublic(t *testing.T) {
	issuer := `"issuer":"https://login.microsoftonline.com/` + strings.ToUpper(contoso) + `/v2.0"`

	for name, c := range map[string]struct {
		body string
		want cloud.Cloud
	}{
		"commercial": {`"cloud_instance_name":"microsoftonline.com","tenant_region_scope":"EU"`, cloud.Commercial},
		"gcc":        {`"cloud_instance_name":"microsoftonline.com","tenant_region_sub_scope":"GCC"`, cloud.GCC},
		"gcchigh":    {`"cloud_instance_name":"microsoftonline.us","tenant_region_sub_scope":"DODCON"`, cloud.GCCHigh},
		"dod":        {`"cloud_instance_name":"microsoftonline.us","tenant_region_sub_scope":"DOD"`, cloud.DoD},
		"us by host": {`"cloud_instance_name":"microsoftonline.us","msgraph_host":"graph.microsoft.us"`,
			cloud.GCCHigh},
		"dod by host": {`"cloud_instance_name":"microsoftonline.us","msgraph_host":"dod-graph.microsoft.us"`,
			cloud.DoD},
		"china": {`"cloud_instance_name":"partner.microsoftonline.cn"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			client, s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/contoso.com/v2.0/.well-known/openid-configuration" ||
					r.Header.Get("Authorization") != "" {
					t.Errorf("%s %v", r.URL, r.Header)
				}

				io.WriteString(w, "{"+issuer+","+c.body+"}")
			})

			got, err := client.Tenant(t.Context(), "contoso.com")
			if err != nil || got != (Tenant{ID: contoso, Cloud: c.want}) || s.issued.Load() != 0 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestAnUnknownTenantIsAFaultToFix(t *testing.T) {
	client, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_tenant","error_description":"AADSTS90002: Tenant 'x' not found."}`)
	})

	_, err := client.Tenant(t.Context(), "x.example")
	if advice.Of(err) == nil || advice.Of(err).Fate != advice.NeedsFix {
		t.Errorf("got %v", err)
	}
}

func TestTheConsentLinkNamesCustomerAndClient(t *testing.T) {
	got := ConsentLink("https://login.microsoftonline.com", alert.TenantID(contoso), "app id")
	if got != "https://login.microsoftonline.com/"+contoso+"/adminconsent?client_id=app+id" {
		t.Error(got)
	}
}

// FuzzRelationships: no page makes a customer that is not one line with a GUID.
func FuzzRelationships(f *testing.F) {
	f.Add([]byte(answerWith(relation(contoso, "Contoso", "active", "A", rolesOf(reader)))))
	f.Add([]byte(`{"value":[{"status":"active","customer":null}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePage(body)
		if err != nil {
			return
		}

		found := map[alert.TenantID]*Customer{}
		for _, raw := range p.rows {
			if addRelationship(found, raw) != nil {
				return
			}
		}

		for id, c := range found {
			if !alert.IsGUID(string(id)) || strings.ContainsAny(c.Name, "\n\r\x1b") || len(c.Relationships) == 0 {
				t.Errorf("%q: %+v", id, c)
			}
		}
	})
}

// FuzzCustomerNames: a name is one line.
func FuzzCustomerNames(f *testing.F) {
	f.Add([]byte(`{"tenantId":"` + contoso + `","displayName":"Contoso"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		names := map[alert.TenantID]string{}
		if addName(names, raw) != nil {
			return
		}

		for id, name := range names {
			if !alert.IsGUID(string(id)) || strings.ContainsAny(name, "\n\r\x1b") {
				t.Errorf("%q: %q", id, name)
			}
		}
	})
}

// FuzzTenant: any description leads to a GUID or an error.
func FuzzTenant(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://login.microsoftonline.com/` + contoso + `/v2.0","tenant_region_sub_scope":"GCC"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := parseTenant(body); err == nil && !alert.IsGUID(string(got.ID)) {
			t.Errorf("%+v", got)
		}
	})
}

// FuzzRefusal: no refusal puts text of the server into an error.
func FuzzRefusal(f *testing.F) {
	f.Add(401, []byte(`{"code":"900421","description":"MFA required"}`))
	f.Add(403, []byte(`{"error":{"code":"Forbidden","message":"no"}}`))

	c := New(Settings{Now: time.Now})

	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 300 || status > 599 {
			return
		}

		e, _ := c.refusal(call{host: "h"}, &http.Response{StatusCode: status, Header: http.Header{}}, body, hush)
		if text := e.Error(); strings.ContainsAny(text, "\n\r\x1b") || len(text) > advice.MaxLine+100 {
			t.Errorf("%q", text)
		}
	})
}
