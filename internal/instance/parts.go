package instance

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/defender"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// The parts of a tenant. The command line uses them too: it signs in, reads and encodes
// exactly as an input does.

// HTTPClient gives the connections that a tenant's settings ask for: proxy and CA
// bundle. Who uses it refuses redirects.
func HTTPClient(t config.Tenant) (*http.Client, error) { return newShared().client(t) }

// Application is the application that signs in to the tenant. say gets a line when a
// secret file cannot be read any more.
func Application(t config.Tenant, say func(level, text string)) tokens.App {
	return tokens.App{
		LoginURL:   t.LoginURL,
		TenantID:   t.TenantID,
		ClientID:   t.ClientID,
		Version:    versionOf(t.Endpoint),
		Resource:   t.Resource,
		Credential: credentialOf(t, say),
		Acquire:    acquireCommand(t),
	}
}

// NewSource gives the access tokens of a tenant; chains may be nil where no refresh
// token is used.
func NewSource(
	t config.Tenant,
	chains tokens.ChainStore,
	client *http.Client,
	now func() time.Time,
	say func(level, text string),
) (*tokens.Source, error) {
	return newSource(t, chains, client, now, say, nil)
}

func newSource(
	t config.Tenant,
	chains tokens.ChainStore,
	client *http.Client,
	now func() time.Time,
	say func(level, text string),
	onSkew func(server, local time.Time),
) (*tokens.Source, error) {
	grant, err := tokens.ParseGrant(t.Grant)
	if err != nil {
		return nil, err
	}

	return tokens.NewSource(tokens.SourceConfig{
		App:        Application(t, say),
		Grant:      grant,
		Seed:       seedOf(t, say),
		Store:      chains,
		HTTP:       client,
		Timeout:    t.HTTPTimeout,
		Now:        now,
		TenantName: t.TenantName,
		Log:        func(l slog.Level, text string) { say(strings.ToLower(l.String()), text) },
		OnSkew:     onSkew,
	})
}

// NewReader gives the reader of a tenant's API.
func NewReader(
	t config.Tenant,
	source defender.TokenSource,
	client *http.Client,
	now func() time.Time,
	say func(level, text string),
) (defender.Reader, error) {
	return newReader(t, source, client, defender.NewLimiter(now), now, say, nil)
}

func newReader(
	t config.Tenant,
	source defender.TokenSource,
	client *http.Client,
	gate *defender.Limiter,
	now func() time.Time,
	say func(level, text string),
	onSkew func(server, local time.Time),
) (defender.Reader, error) {
	return defender.NewReader(t.API, defender.Settings{
		BaseURL:     t.APIURL,
		Path:        t.Endpoint.Path,
		Resource:    t.Resource,
		Filter:      t.Filter,
		ClientID:    t.ClientID,
		TenantID:    t.TenantID,
		HTTP:        client,
		Tokens:      source,
		IdleTimeout: t.HTTPTimeout,
		Limiter:     gate,
		Now:         now,
		Skew:        onSkew,
		Notice:      say,
		MaxPage:     t.Endpoint.MaxPage,
		PageSize:    t.PageSize,
		ByCreation:  !t.Updates,
	})
}

// NewEncoder gives the encoder of a tenant's records.
func NewEncoder(t config.Tenant) (*record.Encoder, error) {
	format, err := record.ParseFormat(t.Format)
	if err != nil {
		return nil, err
	}

	return record.NewEncoder(record.Options{
		TenantID:    t.TenantID,
		Tenant:      t.TenantName,
		API:         string(t.API),
		Format:      format,
		CEFMaxBytes: t.CEFMaxBytes,
	}), nil
}

// Feed is the name under which a tenant's progress is kept.
func Feed(t config.Tenant) store.FeedKey {
	login, tenant, api, state := t.Feed()

	return store.FeedKey{
		LoginHost: login,
		TenantID:  tenant,
		API:       api,
		StateID:   state,
	}
}

// ReadKey reads the key that encrypts stored tokens; none if there is no key_file.
func ReadKey(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}

	key, err := config.ReadKey(path)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}

	return key, nil
}
