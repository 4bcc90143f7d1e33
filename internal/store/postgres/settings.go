package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/config/plain"
)

// The parameters of libpq that are read here too, with the variables that stand for them.
var variables = map[string]string{
	"host":                 "PGHOST",
	"passfile":             "PGPASSFILE",
	"password":             "PGPASSWORD",
	"service":              "PGSERVICE",
	"servicefile":          "PGSERVICEFILE",
	"sslcert":              "PGSSLCERT",
	"sslkey":               "PGSSLKEY",
	"sslrootcert":          "PGSSLROOTCERT",
	"target_session_attrs": "PGTARGETSESSIONATTRS",
}

// address is a connection string in the form of a URL. It is not parsed as one: libpq
// allows a list of hosts, which package url does not.
type address struct {
	front string // up to the parameters
	query string
}

func (o *Options) address() (a address, ok bool) {
	text := o.URL.Reveal()
	a.front, a.query, _ = strings.Cut(text, "?")

	return a, strings.Contains(a.front, "://")
}

// String implements fmt.Stringer.
func (a address) String() string {
	if a.query == "" {
		return a.front
	}

	return a.front + "?" + a.query
}

// parameter returns a parameter of libpq from the connection string, or else from the
// environment; empty if neither has it.
func (a address) parameter(name string) string {
	values, err := url.ParseQuery(a.query)
	if value := values.Get(name); err == nil && value != "" {
		return value
	}

	return os.Getenv(variables[name])
}

// hasPassword reports whether there is a password before the host.
func (a address) hasPassword() bool {
	_, rest, _ := strings.Cut(a.front, "://")
	user, _, found := strings.Cut(rest, "@")

	return found && strings.Contains(user, ":")
}

// passFile returns the file that libpq searches for the password; empty if the password
// is given otherwise.
func (a address) passFile() string {
	if a.hasPassword() || a.parameter("password") != "" {
		return ""
	}

	path := a.parameter("passfile")
	if home, err := os.UserHomeDir(); path == "" && err == nil {
		path = filepath.Join(home, ".pgpass")
	}

	return path
}

// homeFiles are the files that libpq looks for in the home directory. Those of one line
// are used together, or not at all.
var homeFiles = []map[string]string{
	{"servicefile": ".pg_service.conf"},
	{"passfile": ".pgpass"},
	{"sslrootcert": ".postgresql/root.crt"},
	{"sslcert": ".postgresql/postgresql.crt", "sslkey": ".postgresql/postgresql.key"},
}

// withHome adds to a connection string the files that libpq would find in the home
// directory of the user. It is for a service without $HOME: pgx looks there only.
func (a address) withHome(home string) address {
	if home == "" {
		return a
	}

	service := a.parameter("service") != ""

	for _, files := range homeFiles {
		more := ""

		for name, file := range files {
			path := filepath.Join(home, file)
			_, err := os.Stat(path)

			// What the entry of a service says goes before files at home.
			if err != nil || a.parameter(name) != "" || service && strings.HasPrefix(name, "ssl") {
				more = ""
				break
			}

			more += "&" + name + "=" + url.PathEscape(path)
		}

		a.query = strings.TrimPrefix(a.query+more, "&")
	}

	return a
}

// homeOfUser returns the home directory of the user of this process if $HOME is not
// set; empty if it is, or if there is none.
func homeOfUser() string {
	if os.Getenv("HOME") != "" {
		return ""
	}

	u, err := user.Current()
	if err != nil {
		return ""
	}

	return u.HomeDir
}

// errURL says what a connection string looks like. It does not quote the given one,
// which may hold a password.
var errURL = errors.New("store: not a connection string of PostgreSQL: write " +
	"postgres://user@host:port/database?sslmode=verify-full, and the password into the file that " +
	"the variable PGPASSFILE names")

// parse reads the connection string, completed by the variables and files of libpq. Its
// errors do not quote it.
func (o *Options) parse() (*pgxpool.Config, error) {
	text := o.URL.Reveal()

	at, isURL := o.address()
	if isURL {
		at = at.withHome(o.home())
		text = at.String()
	}

	c, err := pgxpool.ParseConfig(text)
	if err != nil {
		return nil, settingError(err)
	}

	if err := checkParameters(c.ConnConfig); err != nil {
		return nil, err
	}

	// If the string names several servers, these are a primary and its standbys: only
	// the one that can be written to is of use.
	explicit := at.parameter("target_session_attrs") != ""
	if c.ConnConfig.ValidateConnect == nil && !explicit && len(endpoints(c.ConnConfig)) > 1 {
		c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}

	return c, nil
}

// tunings are parameters of libpq that pgx does not know, and that do not change what
// is read or written. pgx would send them to the server, which refuses them.
var tunings = []string{
	"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
	"sslcompression", "fallback_application_name",
}

// unsupported are parameters of libpq that ask for what pgx cannot do.
var unsupported = []string{
	"hostaddr", "sslcrl", "sslcrldir", "ssl_min_protocol_version", "ssl_max_protocol_version", "requirepeer",
	"gssencmode", "gsslib", "gssdelegation", "load_balance_hosts", "replication",
}

// checkParameters removes parameters without a meaning here, and returns an error for
// those that are not supported.
func checkParameters(c *pgx.ConnConfig) error {
	for _, name := range tunings {
		delete(c.RuntimeParams, name)
	}

	for _, name := range unsupported {
		if value, there := c.RuntimeParams[name]; there {
			if name == "gssencmode" && value != "require" {
				delete(c.RuntimeParams, name)
				continue
			}

			return fmt.Errorf("store: the parameter %s of the connection string is not supported: remove it", name)
		}
	}

	return nil
}

// faults are what may be wrong with the parameters of a connection string, by the words
// of pgx. A fault about a file gets its name.
var faults = []struct {
	said, fault string
}{
	{"sslmode is invalid", "sslmode (or PGSSLMODE): unknown; use verify-full"},
	{"unknown target_session_attrs", "target_session_attrs (or PGTARGETSESSIONATTRS): unknown; use read-write"},
	{"unable to read CA file", "sslrootcert (or PGSSLROOTCERT)"},
	{"unable to add CA to cert pool", "sslrootcert (or PGSSLROOTCERT): the file has no certificate in PEM form"},
	{"unable to load system certificate pool", "sslrootcert: this machine has no authorities that it trusts"},
	{`both "sslcert" and "sslkey" are required`, "sslcert and sslkey: give both, or none"},
	{"unable to read sslkey", "sslkey (or PGSSLKEY)"},
	{"unable to find sslpassword", "sslkey: the key is encrypted: set sslpassword, or decrypt it"},
	{"unable to decrypt key", "sslkey: the key is encrypted: sslpassword is wrong"},
	{"unable to decode sslkey", "sslkey (or PGSSLKEY): the file has no private key in PEM form"},
	{"failed to decode sslkey", "sslkey (or PGSSLKEY): the file has no private key in PEM form"},
	{"unable to read cert", "sslcert (or PGSSLCERT)"},
	{"unable to load cert", "sslcert and sslkey: they are not a certificate and its private key, both in PEM form"},
	{"failed to read service file", "service (or PGSERVICE): the service file cannot be read: name one with " +
		"PGSERVICEFILE"},
	{"unable to find service", "service (or PGSERVICE): the service file has no such entry"},
	{"could not match", "give one port for all hosts, or one for each"},
}

// settingError returns what is wrong with a connection string without quoting it.
func settingError(err error) error {
	text := err.Error() // cannot parse `…`: what is wrong

	at := strings.LastIndex(text, "`: ")
	if at < 0 {
		return errURL
	}

	what := text[at+len("`: "):]

	for _, f := range faults {
		if !strings.Contains(what, f.said) {
			continue
		}

		if file, ok := errors.AsType[*fs.PathError](err); ok {
			return fmt.Errorf("store: the connection string: %s: %s: %w", f.fault, plain.Text(file.Path, 256), file.Err)
		}

		return fmt.Errorf("store: the connection string: %s", f.fault)
	}

	what, _, _ = strings.Cut(what, " (") // the rest quotes the value

	if strings.HasPrefix(what, "invalid ") || strings.HasPrefix(what, "cannot parse pool_") {
		return fmt.Errorf("%w (%s)", errURL, what)
	}

	return errURL
}

// readableSecrets returns a sentence for each file with a secret for the database that
// every user of this machine can read.
func (o *Options) readableSecrets() (list []string) {
	at, _ := o.address()
	at = at.withHome(o.home())

	for _, f := range []struct{ path, has string }{
		{at.passFile(), "the password"},
		{at.parameter("sslkey"), "the private key (sslkey)"},
	} {
		info, err := os.Stat(f.path)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
			list = append(list, fmt.Sprintf("every user of this machine can read %s in %s: chmod 600 %s", f.has,
				plain.Text(f.path, 256), plain.Shell(f.path)))
		}
	}

	return list
}

// noPassword returns why there is no password, for a server that asks for one; empty if
// there is one.
func (o *Options) noPassword() string {
	c, err := o.parse()
	if err != nil || c.ConnConfig.Password != "" {
		return ""
	}

	at, _ := o.address()

	path := at.withHome(o.home()).passFile()
	if path == "" {
		return "there is no password: name a password file with PGPASSFILE, or set PGPASSWORD"
	}

	shown := plain.Text(path, 256)

	_, err = os.ReadFile(path)
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Sprintf("there is no password: %s: %v: name a password file with PGPASSFILE, or set PGPASSWORD",
			shown, file.Err)
	}

	return fmt.Sprintf("there is no password: %s has no line for %s:%d:%s:%s", shown, c.ConnConfig.Host,
		c.ConnConfig.Port, c.ConnConfig.Database, c.ConnConfig.User)
}
