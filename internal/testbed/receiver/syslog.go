package receiver

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// SyslogFormat is the format of messages.
type SyslogFormat string

// The formats of syslog.
const (
	// RFC3164 is `<PRI>Mmm dd hh:mm:ss host message`, without a tag before the message.
	RFC3164 SyslogFormat = "rfc3164"
	// RFC5424 is `<PRI>1 time host app procid msgid structured-data message`, the
	// message with a byte order mark when it is UTF-8 (section 6.4).
	RFC5424 SyslogFormat = "rfc5424"
)

// SyslogConfig describes a listener.
type SyslogConfig struct {
	Format SyslogFormat
	// TLS is the server's (RFC 5425, with a line for each message as in RFC 6587, section
	// 3.4.2). nil means plain TCP.
	TLS *tls.Config
	// MaxBytes is the length of the longest line that is no fault. 0 means 65,536.
	MaxBytes int
	// BreakEvery makes it break the connection after every n-th message. 0 means never.
	BreakEvery int
}

// SyslogMessage is one message.
type SyslogMessage struct {
	Facility, Severity int
	// Time is the time of the header in UTC. RFC 3164 has no year, which is then 0.
	Time time.Time
	Host string
	// App, ProcID and MsgID are fields of RFC 5424, empty for "-".
	App, ProcID, MsgID string
	// Text is the message without its byte order mark.
	Text string
}

// Syslog is a running listener.
type Syslog struct {
	cfg      SyslogConfig
	listener net.Listener
	port     int

	mu       sync.Mutex
	closed   bool
	conns    map[net.Conn]bool
	messages []SyslogMessage
	faults   []string
	breaks   int
}

// StartSyslog starts a listener on a free port of 127.0.0.1.
func StartSyslog(cfg SyslogConfig) (*Syslog, error) {
	if cfg.Format != RFC3164 && cfg.Format != RFC5424 {
		return nil, fmt.Errorf("receiver: syslog format %q is not known", cfg.Format)
	}

	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 65_536
	}

	s := &Syslog{cfg: cfg, conns: map[net.Conn]bool{}}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}

	s.listener, s.port = l, l.Addr().(*net.TCPAddr).Port
	go s.serve(l)

	return s, nil
}

// Port returns the TCP port that the listener has.
func (s *Syslog) Port() int { return s.port }

// Messages returns the messages that were read so far, in order.
func (s *Syslog) Messages() []SyslogMessage {
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.messages)
}

// Faults returns the lines that were refused, each with its reason.
func (s *Syslog) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return slices.Clone(s.faults)
}

// Breaks returns how many connections were broken because of BreakEvery.
func (s *Syslog) Breaks() int {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.breaks
}

// Close stops the listener and breaks its connections.
func (s *Syslog) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}

	return s.listener.Close()
}

func (s *Syslog) serve(l net.Listener) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return // closed
		}

		c := raw
		if s.cfg.TLS != nil {
			c = tls.Server(raw, s.cfg.TLS)
		}

		s.mu.Lock()
		if s.closed {
			_ = c.Close()
		}

		s.conns[c] = true

		s.mu.Unlock()
		go func() {
			s.read(c)
			_ = c.Close()

			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
	}
}

// read reads the lines of one connection until it ends.
func (s *Syslog) read(c net.Conn) {
	in := bufio.NewReaderSize(c, s.cfg.MaxBytes+1)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			s.fault("longer than %d bytes: %q…", s.cfg.MaxBytes, line[:80])
			return
		case err != nil:
			if len(line) > 0 && errors.Is(err, io.EOF) {
				s.fault("the connection ended within the line %q", line)
			}

			return
		}

		m, err := parseSyslog(string(line[:len(line)-1]), s.cfg.Format)
		if err != nil {
			s.fault("%v: %q", err, line)
			continue
		}

		s.mu.Lock()
		s.messages = append(s.messages, m)

		stop := s.cfg.BreakEvery > 0 && len(s.messages)%s.cfg.BreakEvery == 0
		if stop {
			s.breaks++
		}
		s.mu.Unlock()

		if stop {
			return
		}
	}
}

func (s *Syslog) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

const byteOrderMark = "\ufeff"

// parseSyslog reads one line without its end.
func parseSyslog(line string, format SyslogFormat) (SyslogMessage, error) {
	var m SyslogMessage
	if !utf8.ValidString(line) {
		return m, errors.New("not UTF-8 (or cut within a character)")
	}

	if i := strings.IndexFunc(line, unicode.IsControl); i >= 0 {
		return m, fmt.Errorf("control character %q", line[i])
	}

	if line != "" && line[0] >= '0' && line[0] <= '9' {
		return m, errors.New("an octet count in front (RFC 6587 section 3.4.1), where lines are expected")
	}

	rest, err := m.priority(line)
	if err != nil {
		return m, err
	}

	if format == RFC3164 {
		return m, m.rfc3164(rest)
	}

	return m, m.rfc5424(rest)
}

// priority reads <PRI>: 0 to 191 without leading zeros (RFC 5424 section 6.2.1, RFC
// 3164 section 4.1.1).
func (m *SyslogMessage) priority(line string) (rest string, err error) {
	digits, rest, ok := strings.Cut(strings.TrimPrefix(line, "<"), ">")

	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || line[0] != '<' || err != nil || n > 191 || digits != strconv.FormatUint(n, 10) {
		return "", errors.New("no priority in front")
	}

	m.Facility, m.Severity = int(n/8), int(n%8)

	return rest, nil
}

// rfc3164 reads what follows the priority: time, host and message (RFC 3164 section 4.1).
func (m *SyslogMessage) rfc3164(rest string) error {
	if len(rest) < len(time.Stamp)+1 || rest[len(time.Stamp)] != ' ' {
		return errors.New("no time behind the priority")
	}

	at, err := time.Parse(time.Stamp, rest[:len(time.Stamp)]) // "Jan _2 15:04:05"
	if err != nil {
		return errors.New("no time behind the priority")
	}

	host, text, ok := strings.Cut(rest[len(time.Stamp)+1:], " ")
	switch {
	case !ok || !validHost(host):
		return fmt.Errorf("no host behind the time but %.40q", host)
	case strings.HasPrefix(text, byteOrderMark):
		return errors.New("a byte order mark, which RFC 3164 does not know")
	}

	m.Time, m.Host, m.Text = at, host, text

	return nil
}

// validHost reports whether a text is a host name or an address.
func validHost(host string) bool {
	return host != "" && len(host) <= 255 && !strings.ContainsFunc(host, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:", r)
	}) && !strings.HasSuffix(host, ":")
}

// rfc5424 reads what follows the priority: the header's fields, structured data and the
// message (RFC 5424 section 6).
func (m *SyslogMessage) rfc5424(rest string) error {
	field, rest, err := headerFields(rest)
	if err != nil {
		return err
	}

	at, err := time.Parse("2006-01-02T15:04:05.999999Z07:00", field[1])
	if err != nil || field[0] != "1" {
		return fmt.Errorf("version %q or time %q is wrong", field[0], field[1])
	}

	rest, err = structuredData(rest)
	if err != nil {
		return err
	}

	text, ok := strings.CutPrefix(rest, " ")
	switch {
	case !ok && rest != "":
		return errors.New("no space behind the structured data")
	case text != "" && !strings.HasPrefix(text, byteOrderMark):
		return errors.New("a message in UTF-8 without byte order mark")
	}

	for i := range field {
		if field[i] == "-" {
			field[i] = ""
		}
	}

	m.Time, m.Host, m.App, m.ProcID, m.MsgID = at.UTC(), field[2], field[3], field[4], field[5]
	m.Text = strings.TrimPrefix(text, byteOrderMark)

	return nil
}

// headerFields takes the fields behind the priority off the front of a line: version,
// time, host, app, procid and msgid.
func headerFields(line string) (field [6]string, rest string, err error) {
	longest := [...]int{3, 32, 255, 48, 128, 32}
	notPrintable := func(r rune) bool { return r < 33 || r > 126 }

	for i := range field {
		value, next, ok := strings.Cut(line, " ")
		if !ok || value == "" || len(value) > longest[i] || strings.ContainsFunc(value, notPrintable) {
			return field, "", fmt.Errorf("header field %d is %.40q", i+1, value)
		}

		field[i], line = value, next
	}

	return field, line, nil
}

// structuredData skips structured data: "-", or elements in brackets whose quoted values
// have a backslash before ", \ and ]. It returns what follows.
func structuredData(s string) (rest string, err error) {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return rest, nil
	}

	if !strings.HasPrefix(s, "[") {
		return "", errors.New("no structured data")
	}

	quoted, open := false, false

	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"' && open:
			quoted = !quoted
		case quoted:
		case s[i] == '[' && !open:
			open = true
		case s[i] == ']' && open:
			open = false

			if i+1 == len(s) || s[i+1] != '[' {
				return s[i+1:], nil
			}
		}
	}

	return "", errors.New("structured data does not end")
}
