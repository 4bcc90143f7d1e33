package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/filemode"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/record"
	"fluent-bit-defender/internal/secret"
)

// Getter returns one property as Fluent Bit has it, or "" if it is not set. Callers
// pass names in lower case; an implementation finds them in any case. The plugin's
// host, a parsed section (package fluentbit) and Map implement it.
type Getter interface{ Get(key string) string }

// Locator is implemented by a Getter that knows where a key is, so that faults name
// file and line.
type Locator interface {
	// Where returns the file and line of a key, or of the section itself when it has no
	// such key.
	Where(key string) (file string, line int)
}

// variables is implemented by a Getter that knows which environment variables in a
// value are not set.
type variables interface{ Unset(key string) []string }

// Map is a Getter for the command line and tests. Its keys are in lower case.
type Map map[string]string

// Get returns the value of a key, in any case.
func (m Map) Get(key string) string { return m[strings.ToLower(key)] }

// Sources are what is read of the machine for a configuration. The zero value uses the
// real ones.
type Sources struct {
	// Open opens a file; nil: the file system, where files that other users may change
	// are refused.
	Open func(name string) (fs.File, error)
	// Env returns an environment variable; nil: the process's own.
	Env func(name string) (string, bool)
	// Hostname returns the name of the machine; nil: the machine's own.
	Hostname func() (string, error)
}

func (s Sources) open(name string) (fs.File, error) {
	if s.Open != nil {
		return s.Open(name)
	}

	return filemode.Open(name)
}

// judge returns an error when another user of the machine may change the file.
func (s Sources) judge(name string) error {
	if s.Open != nil {
		return nil // not a file of this machine
	}

	return filemode.Check(name)
}

func (s Sources) env(name string) (string, bool) {
	if s.Env != nil {
		return s.Env(name)
	}

	return os.LookupEnv(name)
}

// Input is one input of Fluent Bit, complete and checked.
type Input struct {
	// Tenants are the listed tenants, in the order of the file. There is at least one,
	// unless others are discovered.
	Tenants []Tenant
	// Discovery says how more tenants are found; nil: they are not.
	Discovery *Discovery
	// DataDir and KeyFile are paths; KeyFile may be empty.
	DataDir, KeyFile string
	// Store is the database for progress and tokens; zero: they are in DataDir.
	Store Store
	// GraphURL and PartnerURL override the hosts where customers are listed and consent
	// is given; empty: the cloud's own. Each tenant has the effective ones.
	GraphURL, PartnerURL string
	// MaxConcurrency is the number of tenants polled at the same moment; 0: it follows
	// from how many there are.
	MaxConcurrency int
	// BufferLimit is in bytes, at least 1.
	BufferLimit int64
	// HealthInterval is 0 when no health records are wanted.
	HealthInterval time.Duration
	// MetricsListen is host:port, or empty.
	MetricsListen string
	// MetricsTokenFile is a path, or empty: no token is asked for.
	MetricsTokenFile string
	// MetricsHosts are host names in lower case.
	MetricsHosts []string
	// AllowThreaded lets the input run although Fluent Bit may lose what was delivered.
	AllowThreaded bool
	// TenantsFile is the path of the tenants file, or empty. See Watch.
	TenantsFile string

	section section
	// sum is the SHA-256 of the tenants file.
	sum [32]byte
}

// Tenant is one thing to poll: a tenant and an API. All values are resolved and
// effective.
type Tenant struct {
	// TenantID is in lower case, else as configured.
	TenantID alert.TenantID
	// TenantName is for people, never empty.
	TenantName string
	ClientID   alert.ClientID
	// At most one of ClientSecret, ClientSecretFile and ClientCertificateFile is set;
	// none for a public client.
	ClientSecret          secret.Text
	ClientSecretFile      string
	ClientCertificateFile string
	// ClientSecretExpires is the day on which the secret ends; zero when that is not
	// known.
	ClientSecretExpires time.Time
	// At most one of RefreshToken and RefreshTokenFile is set.
	RefreshToken     secret.Text
	RefreshTokenFile string
	// HomeTenantID is the provider's own tenant, whose sign-in reaches this one, in
	// lower case; empty: the tenant has a sign-in of its own. With it the refresh
	// token, if any, is the seed of that tenant's chain, and Grant is
	// grant.RefreshToken.
	HomeTenantID alert.TenantID
	Grant        grant.Grant
	API          alert.API
	Cloud        cloud.Cloud
	// Region is in lower case, or empty.
	Region string
	// LoginURL, APIURL and Resource are scheme, host and, unless it is the scheme's
	// own, port. They are the effective ones, overrides included.
	LoginURL, APIURL, Resource string
	// Endpoint has the rest of the API: path, sign-in version, page sizes, call
	// budgets. Its addresses are the effective ones.
	Endpoint cloud.Target
	Filter   string

	PollInterval, Lookback, Overlap, SweepInterval, SweepLookback time.Duration

	// PageSize is the number of rows to ask for; 0 with an API that has no pages.
	PageSize int
	// Updates says to emit every version of an alert, not only the first.
	Updates bool
	Format  record.Format
	// TimeField says which time an event gets.
	TimeField alert.TimeField
	// CEFMaxBytes is the longest CEF line.
	CEFMaxBytes int
	StateID     string
	// Tag is the tenant's own tag, or empty for the input's.
	Tag string
	// Proxy is a URL, or empty for the environment's. It may hold a password, hence the
	// type.
	Proxy secret.Text
	// CAFile is a path, or empty.
	CAFile      string
	HTTPTimeout time.Duration

	// GraphURL and PartnerURL are the effective hosts where the provider's customers
	// are listed and consent is given.
	GraphURL, PartnerURL string
	// DataDir and KeyFile are those of the input, for commands in messages.
	DataDir, KeyFile string
	// Store is the address of the database in place of DataDir, without a password;
	// empty: there is none.
	Store string
}

// LoginHost returns the sign-in service's host, with its port if it is not the scheme's
// own, in lower case: the first part of the keys under which tokens and checkpoints are
// kept.
func (t Tenant) LoginHost() string {
	u, err := url.Parse(t.LoginURL)
	if err != nil {
		return ""
	}

	return u.Host
}

// Unit returns the key under which the tenant's progress is kept. Two live inputs must
// not have the same.
func (t Tenant) Unit() alert.UnitKey {
	return alert.UnitKey{
		LoginHost: t.LoginHost(),
		TenantID:  t.TenantID,
		API:       t.API,
		StateID:   t.StateID,
	}
}

// Equal reports whether nothing about the two differs, secrets included. After a
// reload, a tenant that is not Equal is restarted.
func (t Tenant) Equal(u Tenant) bool {
	same := t.ClientSecret.Equal(u.ClientSecret) && t.RefreshToken.Equal(u.RefreshToken) && t.Proxy.Equal(u.Proxy)
	t.ClientSecret, t.RefreshToken, t.Proxy = secret.Text{}, secret.Text{}, secret.Text{}
	u.ClientSecret, u.RefreshToken, u.Proxy = secret.Text{}, secret.Text{}, secret.Text{}

	return same && t == u
}

// FromPlugin reads and checks the section of one input, and its tenants file if it has
// one.
//
// The error joins all faults (Faults takes it apart); the Input is nil then. Warnings
// may come with either.
func FromPlugin(g Getter, s Sources) (*Input, []Warning, error) {
	return snapshot(g).input(s)
}

// input builds the Input from a section that has been read.
func (sec section) input(s Sources) (*Input, []Warning, error) {
	b := newBuilder(s)
	in := &Input{section: sec}
	r := b.reader(layer{value: sec.value})

	in.DataDir = r.path("data_dir")
	if os.Geteuid() == 0 {
		b.dataOwner = ownerOf(in.DataDir)
	}

	in.KeyFile = r.path("key_file")
	if in.KeyFile != "" {
		r.checkKeyFile(in.KeyFile)
	}

	r.store(in)

	in.GraphURL = r.address("graph_url", "")
	in.PartnerURL = r.address("partner_url", "")
	in.MaxConcurrency = int(r.integer("max_concurrency"))
	in.BufferLimit = r.size("buffer_limit")
	in.HealthInterval = r.duration("health_interval")
	r.metrics(in)
	in.AllowThreaded = r.boolean("allow_threaded")

	in.TenantsFile = r.path("tenants_file")
	if in.TenantsFile == "" {
		r.hint = sec.hint
		in.Tenants = []Tenant{r.readTenant()}
	} else {
		if v := sec.value("tenant_id"); v.set {
			r.fault(
				"tenant_id",
				v,
				"does not fit with tenants_file, which names the tenants",
				"remove tenant_id here, or tenants_file",
			)
		}

		in.Tenants, in.Discovery = b.tenantsFile(in.TenantsFile, r.raw("tenants_file"), sec)
	}

	for i := range in.Tenants {
		in.adopt(&in.Tenants[i])
	}

	if d := in.Discovery; d != nil {
		d.adopt = in.adopt
		d.adopt(&d.Home)
	}

	b.warnSharedNames(in.Tenants)

	if err := b.failure(); err != nil {
		return nil, b.warnings, err
	}

	in.sum = b.sum

	return in, b.warnings, nil
}

// Examples returns the listed tenants and, if others are discovered, one that stands
// for these.
func (in *Input) Examples() []Tenant {
	if in.Discovery == nil {
		return in.Tenants
	}

	return append(slices.Clone(in.Tenants), in.Discovery.Home)
}

// adopt sets the fields of a tenant that come from the whole input.
func (in *Input) adopt(t *Tenant) {
	t.DataDir = in.DataDir

	if in.Store.Shared() {
		t.Store = ShownStore(in.Store.URL)
	}

	t.KeyFile = in.KeyFile
	t.GraphURL = cmp.Or(in.GraphURL, cloud.GraphURL(t.Cloud))
	t.PartnerURL = cmp.Or(in.PartnerURL, cloud.PartnerURL)
}

// warnSharedNames warns once of each name that more than one tenant has.
func (b *builder) warnSharedNames(tenants []Tenant) {
	ids, warned := map[string]alert.TenantID{}, map[string]bool{}
	for _, t := range tenants {
		id, ok := ids[t.TenantName]
		if ok && id != t.TenantID && t.TenantID != "" && !warned[t.TenantName] {
			warned[t.TenantName] = true
			b.warn(Warning(*newFault(
				Place{Key: "tenant_name", Tenant: t.TenantName},
				fmt.Sprintf("names more than one tenant, %s and %s among them", id, t.TenantID),
				"give each its own name, so that logs and commands tell them apart",
			)))
		}

		if !ok {
			ids[t.TenantName] = t.TenantID
		}
	}
}
