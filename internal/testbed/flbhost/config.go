package flbhost

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"fluent-bit-defender/internal/config/envvar"
)

// Level is the severity of a log line, with Fluent Bit's numbers
// (include/fluent-bit/flb_log.h).
type Level int

// The levels of Fluent Bit. LevelStderr marks what the process wrote to its standard
// error past the logger.
const (
	LevelStderr Level = iota - 1
	LevelOff
	LevelError
	LevelWarn
	LevelInfo
	LevelDebug
	LevelTrace
)

var levelNames = map[string]Level{
	"off": LevelOff, "error": LevelError, "warn": LevelWarn, "warning": LevelWarn,
	"info": LevelInfo, "debug": LevelDebug, "trace": LevelTrace,
}

// String returns the name that Fluent Bit's log_level takes, or "stderr".
func (l Level) String() string {
	switch l {
	case LevelError:
		return "error"
	case LevelWarn:
		return "warn"
	case LevelInfo:
		return "info"
	case LevelDebug:
		return "debug"
	case LevelTrace:
		return "trace"
	case LevelStderr:
		return "stderr"
	}

	return "off"
}

// Property is one line of an [INPUT] section.
type Property struct{ Key, Value string }

// Instance is one [INPUT] section.
type Instance struct {
	// Props are the plugin's keys in their order; Props(...) writes them in short.
	// ${VAR} and ${VAR:-default} are expanded as Fluent Bit does. Keys that Fluent Bit
	// keeps for itself never reach the plugin.
	Props []Property
	// Tag of the records; empty means the instance's name, as in Fluent Bit.
	Tag string
	// Threaded runs the instance on a thread of its own. Fluent Bit's default for Go
	// inputs is true; here the zero value is the mode the product requires.
	Threaded bool
	// RingCapacity is thread.ring_buffer.capacity; 0 means Fluent Bit's 1024.
	RingCapacity int
	// MemBufLimit pauses the input when so many bytes wait for the outputs; 0 means no
	// limit.
	MemBufLimit int

	name string // another plugin, for a configuration that Fluent Bit refuses
}

// Props makes a property list from keys and values in turn. It panics on an odd number,
// which is a fault of the caller.
func Props(kv ...string) []Property {
	if len(kv)%2 != 0 {
		panic("flbhost.Props: a key without a value")
	}

	out := make([]Property, 0, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		out = append(out, Property{kv[i], kv[i+1]})
	}

	return out
}

// Config describes one run of the host, or of a real Fluent Bit.
type Config struct {
	Plugin     string     // path of the .so
	Name       string     // Real only: the plugin's name; empty means "defender"
	Classic    bool       // Real only: classic configuration instead of YAML
	Instances  []Instance // the [INPUT] sections, in order
	StorageDir string     // where what was delivered is kept; the same directory again is a restart
	LogLevel   string     // service log_level; empty means info
	HotReload  bool       // Hot_Reload On: Reload works
	Env        []string   // added to the environment of the process, "KEY=value"
	// GraceSeconds is the service's Grace: how many seconds a shutdown waits for
	// undelivered chunks; 0 means Fluent Bit's 5, -1 for ever.
	GraceSeconds int

	// The rest is for the host only; Real ignores it.

	NoDirectAppend bool          // do not export flb_input_log_append
	NoCtx          bool          // use the callbacks without context, as Fluent Bit before v4.1.0
	Daemon         bool          // fork after the plugin is loaded, as "Daemon On": no goroutine lives on
	FixPause       bool          // stop the collector of the paused instance, which v5.1.1 does not
	Tick           time.Duration // the interval of the collectors; 0 means Fluent Bit's 1 s
	CallbackLimit  time.Duration // a callback that takes longer is a violation; 0 means 50 ms, negative any time
	ExitLimit      time.Duration // PreExit and Exit of one instance together; 0 means 2 s, negative any time
	BuildDir       string        // see Build
}

// Errors of Start for sections with which Fluent Bit v5.1.1 does not start.
var (
	// ErrCrashes stands for a key that Fluent Bit dies of: any that begins with "net.".
	ErrCrashes = errors.New("fluent-bit crashes on this key")
	// ErrUnknownProperty stands for a key that Fluent Bit refuses for an input: any
	// that begins with "oauth2".
	ErrUnknownProperty = errors.New("unknown configuration property")
	// ErrNoTLS stands for "tls on": the plugin does not use Fluent Bit's network layer.
	ErrNoTLS = errors.New("the input does not support TLS")
)

// kept are the keys of an [INPUT] section that Fluent Bit does not pass on
// (src/flb_input.c, flb_input_set_property).
var kept = map[string]bool{
	"name": true, "tag": true, "log_level": true, "log_suppress_interval": true, "routable": true, "alias": true,
	"mem_buf_limit": true, "listen": true, "host": true, "port": true, "ipv6": true, "storage.type": true,
	"storage.pause_on_chunks_overlimit": true, "threaded": true, "thread.ring_buffer.capacity": true,
	"thread.ring_buffer.window": true, "rate_window": true, "rate_gate": true, "routes": true, "processors": true,
}

// visible returns the properties that reach the plugin, expanded, and the instance's
// own log level, empty for the service's.
func visible(props []Property, lookup envvar.Lookup) ([]Property, string, error) {
	var out []Property

	level := ""

	for _, p := range props {
		key := strings.ToLower(p.Key)

		value, _ := envvar.Expand(p.Value, lookup)
		switch {
		case strings.HasPrefix(key, "net."):
			return nil, "", fmt.Errorf("flbhost: %s: %w", p.Key, ErrCrashes)
		case strings.HasPrefix(key, "oauth2"):
			return nil, "", fmt.Errorf("flbhost: %s: %w", p.Key, ErrUnknownProperty)
		case key == "tls" && isOn(value):
			return nil, "", fmt.Errorf("flbhost: %s: %w", p.Key, ErrNoTLS)
		case key == "log_level":
			l, ok := levelNames[strings.ToLower(value)]
			if !ok {
				return nil, "", fmt.Errorf("flbhost: log_level %q: %w", value, ErrUnknownProperty)
			}

			level = strconv.Itoa(int(l))
		case kept[key], key == "tls", strings.HasPrefix(key, "tls."), strings.HasPrefix(key, "rate_gate."):
		default:
			out = append(out, Property{p.Key, value})
		}
	}

	return out, level, nil
}

func isOn(s string) bool {
	switch strings.ToLower(s) {
	case "on", "true", "yes":
		return true
	}

	return false
}

// environment returns the process's environment with cfg.Env, as a list for exec and as
// a lookup for expansion, to which an empty variable is not set.
func (cfg *Config) environment() ([]string, envvar.Lookup) {
	env := append(os.Environ(), cfg.Env...)

	return env, func(name string) (string, bool) {
		for i := len(env) - 1; i >= 0; i-- {
			if k, v, ok := strings.Cut(env[i], "="); ok && k == name {
				return v, v != ""
			}
		}

		return "", false
	}
}

// lines are the host's configuration commands for the instances.
func instanceLines(instances []Instance, lookup envvar.Lookup) ([][]string, error) {
	var out [][]string

	for i, ins := range instances {
		props, level, err := visible(ins.Props, lookup)
		if err != nil {
			return nil, fmt.Errorf("instance %d: %w", i, err)
		}

		capacity := ins.RingCapacity
		if capacity == 0 {
			capacity = 1024
		}

		line := []string{
			"instance",
			ins.Tag,
			bit(ins.Threaded),
			strconv.Itoa(capacity),
			strconv.Itoa(ins.MemBufLimit),
			level,
		}
		for _, p := range props {
			line = append(line, p.Key, p.Value)
		}

		out = append(out, line)
	}

	return out, nil
}

func (cfg *Config) configLine() ([]string, error) {
	level := LevelInfo

	if cfg.LogLevel != "" {
		var ok bool
		if level, ok = levelNames[strings.ToLower(cfg.LogLevel)]; !ok {
			return nil, fmt.Errorf("flbhost: log_level %q: %w", cfg.LogLevel, ErrUnknownProperty)
		}
	}

	grace := cfg.GraceSeconds
	if grace == 0 {
		grace = 5
	}

	return []string{"config",
		"plugin", cfg.Plugin,
		"storage", cfg.StorageDir,
		"log_level", strconv.Itoa(int(level)),
		"hot_reload", bit(cfg.HotReload),
		"grace", strconv.Itoa(grace),
		"daemon", bit(cfg.Daemon),
		"fix_pause", bit(cfg.FixPause),
		"no_ctx", bit(cfg.NoCtx),
		"tick_ns", nanos(cfg.Tick, time.Second),
		"callback_ns", nanos(cfg.CallbackLimit, 50*time.Millisecond),
		"exit_ns", nanos(cfg.ExitLimit, 2*time.Second),
	}, nil
}

func nanos(d, def time.Duration) string {
	if d == 0 {
		d = def
	}

	return strconv.FormatInt(int64(d), 10)
}

func bit(b bool) string {
	if b {
		return "1"
	}

	return "0"
}
