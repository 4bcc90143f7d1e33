package config

import (
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/record"
)

// Kind is how the value of an option is written.
type Kind string

// The kinds of values.
const (
	KindString   Kind = "string"
	KindDuration Kind = "duration" // a Go duration, with d for days; a bare number is seconds
	KindSize     Kind = "size"     // bytes as in Fluent Bit: 32M = 32,000,000
	KindBool     Kind = "bool"     // on, off, true, false, yes, no
	KindEnum     Kind = "enum"     // one of Option.Values
	KindInt      Kind = "int"
	KindSecret   Kind = "secret" // never shown
	KindFile     Kind = "file"   // a path
	KindURL      Kind = "url"    // scheme, host, port
	KindDate     Kind = "date"   // YYYY-MM-DD
)

// Scope is where an option may stand.
type Scope string

const (
	// PerTenant options stand in the section, or in a tenants file under defaults or a
	// tenant.
	PerTenant Scope = "tenant"
	// InputWide options stand in the section only.
	InputWide Scope = "input"
	// FileOnly options stand under a tenant of a tenants file only.
	FileOnly Scope = "tenants_file"
)

// Option describes one key.
type Option struct {
	Name string
	Kind Kind
	// Default is what a missing key means, as a user would write it; empty: there is
	// none, or it depends on other keys (see Help).
	Default string
	// Values are those of a KindEnum, in lower case.
	Values []string
	// Min and Max bound a KindDuration, as written; empty: not bounded.
	Min, Max string
	// Least and Most bound a KindInt or a KindSize; both 0: not bounded here.
	Least, Most int64
	Scope       Scope
	// Secret says that the value is never shown.
	Secret bool
	// APIs lists the APIs that the key is for; nil: all.
	APIs []string
	// Help is the meaning, in Markdown without line breaks.
	Help string
}

const day = 24 * time.Hour

// options is the table behind Options. Many bounds are only there to catch mistakes,
// such as a value in the wrong unit, and to keep arithmetic on times far from its
// limits.
var options = []Option{
	{
		Name:  "tenant_id",
		Kind:  KindString,
		Scope: PerTenant,
		Help: "The customer's tenant: GUID (advised) or verified domain; required, unless `tenants_file` is set. " +
			"`common`, `organizations` and `consumers` are refused. Used in lower case, exactly as configured, in " +
			"state, records and `record_id`; never resolved.",
	},
	{
		Name:    "tenant_name",
		Kind:    KindString,
		Scope:   PerTenant,
		Default: "tenant_id",
		Help:    "Label for people: records, logs, metrics, CLI.",
	},
	{
		Name:  "client_id",
		Kind:  KindString,
		Scope: PerTenant,
		Help:  "Application (client) id; required.",
	},
	{
		Name:   "client_secret",
		Kind:   KindSecret,
		Scope:  PerTenant,
		Secret: true,
		Help: "Application secret (its value, not its ID). One of `client_secret`, `client_secret_file` and " +
			"`client_certificate_file`, or none for a public client with `grant refresh_token`.",
	},
	{
		Name:  "client_secret_file",
		Kind:  KindFile,
		Scope: PerTenant,
		Help: "File with the application secret. Trimmed, and read again when it changes. Missing at start: an " +
			"error; missing later: the last value and one line in the log.",
	},
	{
		Name:  "client_secret_expires",
		Kind:  KindDate,
		Scope: PerTenant,
		Help: "Day on which the application secret ends, as its registration shows it: for a warning 14 days " +
			"before, and for the metrics and the status page. Nothing else tells.",
	},
	{
		Name:  "client_certificate_file",
		Kind:  KindFile,
		Scope: PerTenant,
		Help:  "PEM file with certificate and private key, for a signed client assertion.",
	},
	{
		Name:   "refresh_token",
		Kind:   KindSecret,
		Scope:  PerTenant,
		Secret: true,
		Help: "Seed refresh token. The store keeps what it is rotated to; the same value is not used again after " +
			"that.",
	},
	{
		Name:  "refresh_token_file",
		Kind:  KindFile,
		Scope: PerTenant,
		Help:  "File with the seed refresh token; trimmed, and read again when it changes.",
	},
	{
		Name:  "home_tenant_id",
		Kind:  KindString,
		Scope: PerTenant,
		Help: "GUID of the provider's own tenant: the customer is reached with the provider's sign-in there (GDAP or " +
			"a guest account), which all such customers, inputs and APIs share; see [one sign-in](one-sign-in.md). " +
			"`refresh_token` or `refresh_token_file` beside it, or in the `defaults` of a tenants file, is the seed " +
			"of that sign-in; a tenant's own is an error. `grant` must be `auto` or `refresh_token`. " +
			"`none` lets a tenant opt out of a default.",
	},
	{
		Name:    "grant",
		Kind:    KindEnum,
		Scope:   PerTenant,
		Default: string(grant.Auto),
		Values:  grant.Names(),
		Help: "How to sign in. `auto` is decided at start and logged: refresh token if one is configured or " +
			"stored, else client credentials. Once a chain of refresh tokens has existed, `auto` never falls back " +
			"by itself.",
	},
	{
		Name:    "api",
		Kind:    KindEnum,
		Scope:   PerTenant,
		Default: string(alert.DefaultAPI()),
		Values:  alert.APINames(),
		Help:    alert.APIHelp() + ".",
	},
	{
		Name:    "cloud",
		Kind:    KindEnum,
		Scope:   PerTenant,
		Default: "commercial",
		Values:  cloud.Names(),
		Help:    "Picks login and API hosts and the resource.",
	},
	{
		Name:   "region",
		Kind:   KindEnum,
		Scope:  PerTenant,
		Values: regionNames(),
		APIs:   apisWith(hasRegions),
		Help:   regionHelp(),
	},
	{
		Name:  "login_url",
		Kind:  KindURL,
		Scope: PerTenant,
		Help: "Sign-in service; from `cloud` if not set. Scheme, host, port; `http://` only for loopback " +
			"(`localhost`, 127/8, `::1`).",
	},
	{
		Name:  "api_url",
		Kind:  KindURL,
		Scope: PerTenant,
		Help:  "Host of the API; from `cloud`, `api`, `region` if not set. As `login_url`.",
	},
	{
		Name:  "resource",
		Kind:  KindURL,
		Scope: PerTenant,
		Help:  "What tokens are asked for; from `cloud` and `api` if not set. As `login_url`.",
	},
	{
		Name:  "filter",
		Kind:  KindString,
		Scope: PerTenant,
		Help:  filterHelp(),
	},
	{
		Name:    "poll_interval",
		Kind:    KindDuration,
		Scope:   PerTenant,
		Default: "60s",
		Min:     "1s",
		Max:     "7d",
		Help: "Start to start of a tenant's polls, never overlapping. After a start every tenant is polled " +
			"within 10s, then the k-th of n tenants at k/n of the interval. Where the API's call budget allows " +
			"less, the effective interval is logged and shown.",
	},
	{
		Name:    "lookback",
		Kind:    KindDuration,
		Scope:   PerTenant,
		Default: "24h",
		Min:     "0s",
		Max:     "3650d",
		Help: "How far back the very first poll of a tenant reaches; nothing updated earlier is ever emitted. " +
			"Not applied again after a restart.",
	},
	{
		Name:    "overlap",
		Kind:    KindDuration,
		Scope:   PerTenant,
		Default: "10m",
		Min:     "0s",
		Max:     "90d",
		Help: "How far every poll reaches back behind the watermark, for alerts listed late; grows to the " +
			"lateness observed, up to `sweep_lookback`.",
	},
	{
		Name:    "sweep_interval",
		Kind:    KindDuration,
		Scope:   PerTenant,
		Default: "1h",
		Min:     "0s",
		Max:     "90d",
		Help:    "How often one poll reaches back by `sweep_lookback`. `0` switches sweeps off.",
	},
	{
		Name:    "sweep_lookback",
		Kind:    KindDuration,
		Scope:   PerTenant,
		Default: "24h",
		Min:     "0s",
		Max:     "90d",
		Help: "How far a sweep reaches back, for alerts listed hours late; never before the start of `lookback`, " +
			"nor further than the repeats are known. `0` switches sweeps off.",
	},
	{
		Name:  "page_size",
		Kind:  KindInt,
		Scope: PerTenant,
		Least: 1,
		APIs:  apisWith(hasPages),
		Help:  pageSizeHelp(),
	},
	{
		Name:    "updates",
		Kind:    KindBool,
		Scope:   PerTenant,
		Default: "on",
		Help: "`off`: only the first version of an alert is emitted; windows, overlap and sweep then run on the " +
			"creation time.",
	},
	{
		Name:    "format",
		Kind:    KindEnum,
		Scope:   PerTenant,
		Default: "json",
		Values:  record.FormatNames(),
		Help:    "What a record holds: " + record.FormatHelp() + ".",
	},
	{
		Name:    "cef_max_bytes",
		Kind:    KindSize,
		Scope:   PerTenant,
		Default: "8192",
		Least:   256,
		Most:    1_000_000,
		Help:    "Longest CEF line.",
	},
	{
		Name:    "time_field",
		Kind:    KindEnum,
		Scope:   PerTenant,
		Default: "updated",
		Values:  alert.TimeFieldNames(),
		Help: "Event time: when the alert was `updated` or `created`, or `now`: when it was read. Where the alert " +
			"lacks that time: now. [The fields](apis.md#times) depend on the API.",
	},
	{
		Name:  "tenants_file",
		Kind:  KindFile,
		Scope: InputWide,
		Help: "Many tenants in one input, see [tenants_file](#tenants_file). With it the tenant keys of the " +
			"section are defaults, and `tenant_id` there is an error.",
	},
	{
		Name:  "state_id",
		Kind:  KindString,
		Scope: PerTenant,
		Help: "Checkpoints and repeats are kept per (login host, `tenant_id`, `api`, `state_id`). Two live inputs " +
			"with the same four are refused.",
	},
	{
		Name:  "tag",
		Kind:  KindString,
		Scope: FileOnly,
		Help:  "Tag of the tenant's records: letters, digits, `.`, `_`, `-`; the input's `Tag` if not set.",
	},
	{
		Name:    "data_dir",
		Kind:    KindFile,
		Scope:   InputWide,
		Default: "/var/lib/defender",
		Help: "Directory of `tokens.db` and `defender.db`. Created 0700; a wider existing directory is a " +
			"warning. A second process running inputs on the same directory is refused.",
	},
	{
		Name:  "key_file",
		Kind:  KindFile,
		Scope: InputWide,
		Help: "File with a 32-byte key (base64) that encrypts tokens in the store. Required with PostgreSQL, the " +
			"same for all nodes.",
	},
	{
		Name:    "store",
		Kind:    KindURL,
		Scope:   InputWide,
		Default: sqliteStore,
		Secret:  true,
		Help: "Where tokens and progress are kept: `sqlite` is files in `data_dir`, for one process. " +
			"`postgres://user@host:5432/database` is PostgreSQL, which several machines share: each unit is polled " +
			"by one of them. All that libpq takes works: `sslmode`, `sslrootcert`, `PGPASSFILE`, `PGPASSWORD`.",
	},
	{
		Name:  "node_id",
		Kind:  KindString,
		Scope: InputWide,
		Help: "Name of this process among those on the same PostgreSQL: letters, digits, `.`, `_`, `-`; the host " +
			"name if not set. While one process has it, a second one is refused.",
	},
	{
		Name:    "lease_ttl",
		Kind:    KindDuration,
		Scope:   InputWide,
		Default: "15s",
		Min:     "5s",
		Max:     "10m",
		Help:    "With PostgreSQL: how long a node that is silent keeps its units. Then others take them over.",
	},
	{
		Name:    "takeover_replay",
		Kind:    KindDuration,
		Scope:   InputWide,
		Default: "15m",
		Min:     "0s",
		Max:     "7d",
		Help: "With PostgreSQL: what a node that died had delivered within this time before its last sign of life is " +
			"delivered again by its successor, with the same `record_id` and `mssp.replay` true, since it may be on " +
			"a disk that is gone. `0`: not.",
	},
	{
		Name:  "graph_url",
		Kind:  KindURL,
		Scope: InputWide,
		Help: "Microsoft Graph, where the relationships with customers are listed; from `cloud` if not set. " +
			"As `login_url`.",
	},
	{
		Name:  "partner_url",
		Kind:  KindURL,
		Scope: InputWide,
		Help: "Partner Center, where consent is given for customers; `" + cloud.PartnerURL + "` if not set. " +
			"As `login_url`.",
	},
	{
		Name:  "max_concurrency",
		Kind:  KindInt,
		Scope: InputWide,
		Least: 1,
		Most:  1024,
		Help: "Tenants polled at the same moment; one that waits for the buffer or a slow answer holds no place. " +
			"If not set: a sixteenth of the tenants, but at least 8 and at most 128; it follows `tenants_file`.",
	},
	{
		Name:    "buffer_limit",
		Kind:    KindSize,
		Scope:   InputWide,
		Default: "32M",
		Least:   1,
		Most:    1_000_000_000_000,
		Help: "Encoded alerts waiting for Fluent Bit, over all tenants of the input; at the limit reading from " +
			"the network waits. A single larger alert passes alone.",
	},
	{
		Name:    "health_interval",
		Kind:    KindDuration,
		Scope:   InputWide,
		Default: "0",
		Min:     "0s",
		Max:     "30d",
		Help: "Above 0: how often a health record per tenant is emitted (also at once when it starts or stops " +
			"failing).",
	},
	{
		Name:  "metrics_listen",
		Kind:  KindString,
		Scope: InputWide,
		Help: "`127.0.0.1:9180`: status page at `/`, as JSON at `/api/status`; Prometheus metrics at `/metrics`; " +
			"`/healthz` and `/readyz` for probes; equal in two inputs = one server. " +
			"An address that other machines reach needs `metrics_token_file`, else it is a warning.",
	},
	{
		Name:  "metrics_token_file",
		Kind:  KindFile,
		Scope: InputWide,
		Help: "File with the bearer token that every request to `metrics_listen` must have, but for `/healthz` and " +
			"`/readyz`. A browser gets in with it as the password. " +
			"Trimmed, and read again when it changes.",
	},
	{
		Name:  "metrics_hosts",
		Kind:  KindString,
		Scope: InputWide,
		Help: "Host names, separated by commas, under which `metrics_listen` answers without a token. " +
			"Addresses, `localhost` and the host of `metrics_listen` always work; other names are refused, " +
			"so that no web page can read the metrics through a visitor's browser.",
	},
	{
		Name:   "proxy",
		Kind:   KindURL,
		Scope:  PerTenant,
		Secret: true,
		Help:   "HTTP proxy, `http://host:port`; from the environment (`HTTPS_PROXY`, `NO_PROXY`) if not set.",
	},
	{
		Name:  "ca_file",
		Kind:  KindFile,
		Scope: PerTenant,
		Help:  "PEM bundle of certificate authorities to trust besides the system's.",
	},
	{
		Name:    "http_timeout",
		Kind:    KindDuration,
		Scope:   PerTenant,
		Default: "60s",
		Min:     "100ms",
		Max:     "1h",
		Help: "Time without a byte, while we are reading, after which a request is given up; " +
			"less than 1 KiB of an unfinished answer in this time counts as none.",
	},
	{
		Name:    "allow_threaded",
		Kind:    KindBool,
		Scope:   InputWide,
		Default: "off",
		Help: "`on`: run even without `Threaded Off`, best effort: an end of the process may then lose what " +
			"Fluent Bit still held in memory.",
	},
}

// Options returns the description of every option, in the order of the reference page.
// The caller may change the slice.
func Options() []Option { return slices.Clone(options) }

// Lookup finds an option by name, in any case.
func Lookup(name string) (Option, bool) {
	name = strings.ToLower(name)
	for _, o := range options {
		if o.Name == name {
			return o, true
		}
	}

	return Option{}, false
}
