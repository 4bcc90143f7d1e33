package wiring

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/tokens"
)

// Parts makes the parts that sign in to one tenant and read its alerts. Tenant, HTTP,
// Now and Log are required.
type Parts struct {
	Tenant *config.Tenant // kept by the parts: it must not change
	HTTP   *http.Client   // refuses redirects wherever it is used
	Now    func() time.Time
	// Log gets the lines about the tenant, such as that of a secret file that cannot be
	// read any more.
	Log *slog.Logger
	// LoginClock and APIClock, if not nil, are called with a server's time, from the
	// Date header of an answer, and the local time of the same moment.
	LoginClock, APIClock func(server, local time.Time)
	// Redemptions spreads the redemptions of the process over time; nil: the
	// redemptions with one token store are spread by themselves.
	Redemptions *tokens.Redemptions
	// Answered, if not nil, is called with the HTTP status of each answer of the API, and
	// with 0 for a request that got none.
	Answered func(status int)
}

// Application returns the application that signs in to a tenant. log gets a line when a
// secret file cannot be read any more.
func Application(t *config.Tenant, log *slog.Logger) tokens.App {
	version := tokens.V2
	if t.Endpoint.V1 {
		version = tokens.V1
	}

	return tokens.App{
		LoginURL:   t.LoginURL,
		TenantID:   string(t.TenantID),
		ClientID:   string(t.ClientID),
		Home:       string(t.HomeTenantID),
		Version:    version,
		Resource:   t.Resource,
		Credential: credential(*t, log),
		SecretEnds: t.ClientSecretExpires,
		Acquire:    func() string { return acquireCommand(*t) },
	}
}

// Source returns the source of the tenant's access tokens. chains may be nil where no
// refresh token is used.
func (p Parts) Source(chains tokens.ChainStore) (*tokens.Source, error) {
	return tokens.NewSource(tokens.SourceConfig{
		App:        Application(p.Tenant, p.Log),
		Grant:      p.Tenant.Grant,
		Seed:       seed(*p.Tenant, p.Log),
		Store:      chains,
		HTTP:       p.HTTP,
		Timeout:    p.Tenant.HTTPTimeout,
		Now:        p.Now,
		TenantName: p.Tenant.TenantName,
		Log:        p.Log,
		OnSkew:     p.LoginClock,

		Redemptions:  p.Redemptions,
		HomeResource: cloud.GraphResource(p.Tenant.Cloud),
	})
}

// HomeSource returns the source of access tokens for a resource in the provider's own
// tenant, such as cloud.GraphResource or cloud.PartnerURL: it is used to list customers
// and to consent for them. The tenant must have a home_tenant_id. Each new token
// redeems the chain of that tenant.
func (p Parts) HomeSource(chains tokens.ChainStore, resource string) (*tokens.Source, error) {
	if p.Tenant.HomeTenantID == "" {
		return nil, fmt.Errorf("home_tenant_id (tenant %s): missing; set it to the provider's own tenant",
			p.Tenant.TenantName)
	}

	t := *p.Tenant
	if t.TenantID != t.HomeTenantID {
		t.TenantID = t.HomeTenantID
		t.TenantName = "" // a customer's does not fit
	}

	t.Resource = resource
	t.Endpoint.V1 = false
	p.Tenant = &t

	return p.Source(chains)
}

// Partner returns the client of the partner programme for the tenant's home tenant, and
// the source of its tokens for the lists of customers.
func (p Parts) Partner(chains tokens.ChainStore) (*partner.Client, *tokens.Source, error) {
	graph, err := p.HomeSource(chains, cloud.GraphResource(p.Tenant.Cloud))
	if err != nil {
		return nil, nil, err
	}

	center, err := p.HomeSource(chains, cloud.PartnerURL)
	if err != nil {
		return nil, nil, err
	}

	return partner.New(partner.Settings{
		GraphURL:   p.Tenant.GraphURL,
		PartnerURL: p.Tenant.PartnerURL,
		LoginURL:   p.Tenant.LoginURL,
		HTTP:       p.HTTP,
		Graph:      graph,
		Partner:    center,
		Timeout:    p.Tenant.HTTPTimeout,
		Now:        p.Now,
	}), graph, nil
}

// Reader returns the reader of the tenant's API. limiter holds its requests back; nil
// stands for a limiter without a budget, which is right for a command that reads once.
func (p Parts) Reader(source defender.TokenSource, limiter *defender.Limiter) (defender.Reader, error) {
	t := p.Tenant

	if limiter == nil {
		limiter = defender.NewLimiter(p.Now)
	}

	return defender.NewReader(t.API, defender.Settings{
		BaseURL:     t.APIURL,
		Path:        t.Endpoint.Path,
		Resource:    t.Resource,
		Filter:      t.Filter,
		ClientID:    t.ClientID,
		TenantID:    t.TenantID,
		Home:        t.HomeTenantID,
		HTTP:        p.HTTP,
		Tokens:      source,
		IdleTimeout: t.HTTPTimeout,
		Limiter:     limiter,
		Now:         p.Now,
		Skew:        p.APIClock,
		Answered:    p.Answered,
		Log:         p.Log,
		MaxPage:     t.Endpoint.MaxPage,
		PageSize:    t.PageSize,
		ByCreation:  !t.Updates,
	})
}

// NewLimiter returns the limiter for the requests of an application in a tenant at an
// API, with the budget that the service allows them.
func NewLimiter(t config.Tenant, now func() time.Time) *defender.Limiter {
	return defender.NewLimiter(
		now,
		defender.Budget{Calls: t.Endpoint.PerMinute, Per: time.Minute},
		defender.Budget{Calls: t.Endpoint.PerHour, Per: time.Hour},
	)
}

// NewIdentifier returns the rules that say which version of which alert a row is.
func NewIdentifier(t config.Tenant) (*alert.Identifier, error) {
	return alert.NewIdentifier(alert.Rules{
		API:       t.API,
		TenantID:  t.TenantID,
		Updates:   t.Updates,
		TimeField: t.TimeField,
		Histories: t.Format.NeedsHistory(),
	})
}

// NewEncoder returns the encoder of the tenant's records.
func NewEncoder(t config.Tenant) (*record.Encoder, error) {
	return record.NewEncoder(record.Options{
		TenantID:    t.TenantID,
		Tenant:      t.TenantName,
		API:         t.API,
		Format:      t.Format,
		CEFMaxBytes: t.CEFMaxBytes,
	})
}

// StoreKey reads the key that encrypts stored tokens. It returns nil if there is no
// key_file.
func StoreKey(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}

	key, err := config.ReadKey(path)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}

	return key, nil
}
