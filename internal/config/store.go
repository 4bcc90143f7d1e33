package config

import (
	"errors"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/secret"
)

// Store says where an input keeps what must survive, and how it shares it.
type Store struct {
	// URL is the connection string of PostgreSQL, as libpq accepts it; zero: SQLite in
	// DataDir. It may hold a password, hence the type.
	URL secret.Text
	// NodeID names this process among those on the same store. It is empty with SQLite,
	// where the two times are 0.
	NodeID string
	// LeaseTTL is how long a silent node keeps its units.
	LeaseTTL time.Duration
	// TakeoverReplay is how much of what a dead node delivered is delivered again; 0:
	// nothing.
	TakeoverReplay time.Duration
}

// Shared reports whether other machines may use the same store.
func (s Store) Shared() bool { return !s.URL.IsZero() }

// DiffersOnStore returns the keys that must be the same in two inputs of a process on
// the same store, and are not.
func (in *Input) DiffersOnStore(other *Input) []string {
	var keys []string

	for _, k := range []struct {
		key     string
		differs bool
	}{
		{"key_file", in.KeyFile != other.KeyFile},
		{"node_id", in.Store.NodeID != other.Store.NodeID},
		{"lease_ttl", in.Store.LeaseTTL != other.Store.LeaseTTL},
		{"takeover_replay", in.Store.TakeoverReplay != other.Store.TakeoverReplay},
	} {
		if k.differs {
			keys = append(keys, k.key)
		}
	}

	return keys
}

// sqliteStore is the value of store that means files in data_dir.
const sqliteStore = "sqlite"

// storeForm says how the address of a store is written.
const storeForm = "use sqlite, or an address like postgres://user@host:5432/database"

// longestStore bounds the address of a store in bytes.
const longestStore = 4096

// ParseStore reads the key `store`. For `sqlite` or an empty text it returns a zero
// Text, else the address of PostgreSQL, which is checked when it is opened. problem is
// empty if the text is one of these. It never repeats the text, which may hold a
// password.
func ParseStore(text string) (address secret.Text, problem, remedy string) {
	if text == "" || strings.EqualFold(text, sqliteStore) {
		return secret.Text{}, "", ""
	}

	scheme, rest, ok := strings.Cut(text, "://")

	scheme = strings.ToLower(scheme)
	if !ok || scheme != "postgres" && scheme != "postgresql" {
		return secret.Text{}, "is neither sqlite nor the address of a PostgreSQL database", storeForm
	}

	if rest == "" {
		return secret.Text{}, "names neither host nor database", storeForm
	}

	return secret.New(scheme + "://" + rest), "", ""
}

// sharedKeys are the keys that have a meaning with PostgreSQL only.
var sharedKeys = []string{"node_id", "lease_ttl", "takeover_replay"}

// store reads where the store is, and how it is shared.
func (r *reader) store(in *Input) {
	text, v := r.text("store", longestStore)

	address, problem, remedy := ParseStore(text)
	if problem != "" {
		r.refuse(option("store"), v, problem, remedy)
	}

	node := r.nodeID(problem == "" && !address.IsZero())
	ttl, replay := r.duration("lease_ttl"), r.duration("takeover_replay")

	if address.IsZero() {
		if problem == "" && !v.bad {
			r.warnUnshared()
		}

		return
	}

	in.Store = Store{
		URL:            address,
		NodeID:         node,
		LeaseTTL:       ttl,
		TakeoverReplay: replay,
	}

	if in.KeyFile == "" {
		r.fault("key_file", r.raw("key_file"), "is required with store "+scheme(text)+
			", since the refresh tokens leave this machine",
			"make one with: head -c 32 /dev/urandom | base64, and give all nodes the same")
	}
}

// scheme returns the part of an address that holds no secret.
func scheme(address string) string {
	s, _, _ := strings.Cut(address, "://")

	return strings.ToLower(s) + "://…"
}

// warnUnshared warns of keys without a meaning with SQLite.
func (r *reader) warnUnshared() {
	for _, key := range sharedKeys {
		if v := r.raw(key); v.text != "" {
			r.warning(key, v, "does nothing with store sqlite, which one process uses",
				"remove it, or set store to the address of a PostgreSQL database")
		}
	}
}

// nodeID returns the name of this process. If it is needed and not set, that is the
// host name.
func (r *reader) nodeID(needed bool) string {
	id, v := r.text("node_id", 253)
	remedy := "use letters, digits, dots, underscores and hyphens, such as collector-1"

	if id == "" && needed && !v.bad && v.text == "" {
		id = r.sources.hostname()
		if id == "" {
			r.fault("node_id", v, "missing, and this machine has no host name", remedy)
			return ""
		}
	}

	if strings.ContainsFunc(id, func(c rune) bool { return !inTag(c) }) {
		r.refuse(option("node_id"), v, "has other characters than letters, digits, dots, underscores and hyphens",
			remedy)

		return ""
	}

	return id
}

// hostname returns the name of the machine; empty if it has none.
func (s Sources) hostname() string {
	ask := os.Hostname
	if s.Hostname != nil {
		ask = s.Hostname
	}

	name, err := ask()
	if err != nil {
		return ""
	}

	return name
}

// parseAddress parses the URL of a database. It may list several hosts, each with or
// without a port, which no other URL does.
func parseAddress(address secret.Text) (*url.URL, error) {
	text := address.Reveal()
	if u, err := url.Parse(text); err == nil {
		return u, nil
	}

	scheme, rest, _ := strings.Cut(text, "://")

	authority, after := rest, ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, after = rest[:end], rest[end:]
	}

	hosts := strings.LastIndex(authority, "@") + 1

	u, err := url.Parse(scheme + "://" + authority[:hosts] + "host" + after)
	if err != nil {
		return nil, err
	}

	u.Host = authority[hosts:]
	if !hostList.MatchString(u.Host) || strings.Contains(u.Path, "@") {
		return nil, errors.New("not a list of hosts") // part of it may be a password
	}

	return u, nil
}

// hostList is several hosts, each with or without a port.
var hostList = regexp.MustCompile(`^(?:[^:,@\[\]]*|\[[0-9a-fA-F:.]+\])(?::\d*)?` +
	`(?:,(?:[^:,@\[\]]*|\[[0-9a-fA-F:.]+\])(?::\d*)?)+$`)

// secretParameters are the parameters of a PostgreSQL URL that hold secrets.
var secretParameters = []string{"password", "sslpassword"}

// ShownStore returns the URL of a database without the secrets that it may hold. It can
// be typed as it is, if PGPASSWORD or a password file has the password.
func ShownStore(address secret.Text) string {
	return shownStore(address, func(string) bool { return true })
}

// ToolStore is ShownStore for a command line of PostgreSQL's own tools, which refuse
// parameters that libpq does not know, such as pool_max_conns.
func ToolStore(address secret.Text) string {
	return shownStore(address, func(name string) bool { return slices.Contains(libpqParameters, name) })
}

// libpqParameters are the parameters of a connection string that libpq knows, without
// those for secrets.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
var libpqParameters = []string{
	"host", "hostaddr", "port", "dbname", "user", "passfile", "require_auth", "channel_binding", "connect_timeout",
	"client_encoding", "options", "application_name", "fallback_application_name", "keepalives", "keepalives_idle",
	"keepalives_interval", "keepalives_count", "tcp_user_timeout", "replication", "gssencmode", "sslmode",
	"requiressl", "sslnegotiation", "sslcompression", "sslcert", "sslkey", "sslcertmode", "sslrootcert", "sslcrl",
	"sslcrldir", "sslsni", "requirepeer", "ssl_min_protocol_version", "ssl_max_protocol_version",
	"min_protocol_version", "max_protocol_version", "krbsrvname", "gsslib", "gssdelegation", "service", "servicefile",
	"target_session_attrs", "load_balance_hosts",
}

// shownStore returns a URL without its secrets, and with only those parameters for
// which keep returns true.
func shownStore(address secret.Text, keep func(name string) bool) string {
	u, err := parseAddress(address)
	if err != nil {
		return "postgres://(an address that cannot be read)"
	}

	if u.User != nil {
		u.User = url.User(u.User.Username())
	}

	query := u.Query()
	for name := range query {
		hidden := func(parameter string) bool { return strings.EqualFold(name, parameter) }
		if slices.ContainsFunc(secretParameters, hidden) || !keep(name) {
			query.Del(name)
		}
	}

	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // libpq does not read a + as a blank
	u.Fragment = ""

	return u.String()
}

// StoreHasSecret reports whether the address of a database holds a password.
func StoreHasSecret(address secret.Text) bool {
	u, err := parseAddress(address)
	if err != nil {
		return !address.IsZero()
	}

	_, has := u.User.Password()

	for name := range u.Query() {
		for _, hidden := range secretParameters {
			has = has || strings.EqualFold(name, hidden)
		}
	}

	return has
}
