package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Defaults of Options.
const (
	DefaultMaxRow = 64 << 20
	DefaultBuffer = 256 << 10
)

// LargeRow is the length in bytes above which a row needs a permit, see Reader.Ask.
const LargeRow = 4 << 20

// maxText bounds the keys of the page's own object and its link.
const maxText = 1 << 20

// Options of a Reader.
type Options struct {
	MaxRow int // longest row in bytes; 0 means DefaultMaxRow
	Buffer int // bytes of the buffer to begin with, which is also kept for the next page; 0 means DefaultBuffer
}

// A Reader finds the rows of a page: the elements of the array "value" of an OData
// object, wherever it stands among the other keys, or those of a bare array. It holds
// its buffer and the row it is at, however long the page is: at most MaxRow (but 1 MiB
// at least, for its link) + Buffer bytes, and half as much again while the buffer
// grows. It is not for concurrent use.
type Reader struct {
	src    io.Reader
	opt    Options
	buf    []byte
	permit Permit
	giveUp func() // gives the permit back; nil while there is none
	r, w   int    // buf[r:w] was read from src and not consumed
	srcErr error

	state    state
	bare     bool // the document is an array
	noBOM    bool // there was one
	hasValue bool
	rows     int
	nextLink string
	err      error // final
}

type state uint8

const (
	atStart    state = iota
	atFirstKey       // behind {
	atKey            // behind , in the object
	atFirstRow       // behind [
	atRow            // behind , in the array
	behindRow
	behindMember
	atEnd // behind the last bracket
)

// A Permit is asked for before the buffer grows beyond LargeRow. It may wait; an error
// ends the page. release is called once, when the large row is no longer needed.
type Permit func() (release func(), err error)

// NewReader makes a Reader of the page that r delivers.
func NewReader(r io.Reader, o Options) *Reader {
	if o.MaxRow <= 0 {
		o.MaxRow = DefaultMaxRow
	}

	if o.Buffer <= 0 {
		o.Buffer = DefaultBuffer
	}

	p := &Reader{opt: o}
	p.Reset(r)

	return p
}

// Reset makes p a Reader of the page that r delivers, as if it were new, with the
// buffer it has; a buffer that grew for a large row is given up.
func (p *Reader) Reset(r io.Reader) {
	buf := p.buf
	if len(buf) != p.opt.Buffer {
		buf = make([]byte, p.opt.Buffer)
	}

	p.release()
	*p = Reader{src: r, opt: p.opt, buf: buf}
}

// Ask makes p ask for a permit before it keeps a row of more than LargeRow bytes, until
// Reset.
func (p *Reader) Ask(permit Permit) { p.permit = permit }

// release gives the permit back, if there is one.
func (p *Reader) release() {
	if p.giveUp != nil {
		p.giveUp()
		p.giveUp = nil
	}
}

// shrink gives up a buffer that grew for a large row, and then the permit.
func (p *Reader) shrink() {
	if len(p.buf) <= max(LargeRow, p.opt.Buffer) {
		return
	}

	buf := make([]byte, max(p.opt.Buffer, p.w-p.r))
	p.w = copy(buf, p.buf[p.r:p.w])
	p.r = 0
	p.buf = buf
	p.release()
}

// Rows is how many rows were met so far, those that were too large among them.
func (p *Reader) Rows() int { return p.rows }

// Bare reports whether the document is an array rather than an object. It is known as
// soon as Next gave a row or io.EOF.
func (p *Reader) Bare() bool { return p.bare }

// NextLink is the "@odata.nextLink" of the page, empty when it has none. It may stand
// behind the rows, so it is known for certain only once Next has given io.EOF.
func (p *Reader) NextLink() string { return p.nextLink }

// Next gives the next row as it stands in the page. It is valid until the next call. A
// row need not be an object, nor even JSON: only strings and brackets were followed.
//
// At the end of the document, and only there, Next gives io.EOF. Other errors:
//   - ErrRowTooLarge: this row was passed over, reading can go on;
//   - ErrNotPage, ErrSyntax: the rows so far are whole, the rest is unknown;
//   - wrapping io.ErrUnexpectedEOF: the body was cut short, the rows so far are whole;
//   - wrapping what the underlying reader reported: the same.
//
// All but the first stay: Next gives them again.
func (p *Reader) Next() ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}

	p.shrink()

	row, err := p.next()
	if err != nil && !errors.Is(err, ErrRowTooLarge) {
		p.err = err
	}

	return row, err
}

func (p *Reader) next() ([]byte, error) {
	for {
		c, err := p.peek()
		if errors.Is(err, io.EOF) && p.state == atEnd {
			if !p.bare && !p.hasValue {
				return nil, fmt.Errorf(`%w: an object without "value"`, ErrNotPage)
			}

			return nil, io.EOF
		}

		if err != nil {
			return nil, p.broken(err)
		}

		switch p.state {
		case atStart:
			if err := p.start(c); err != nil {
				return nil, err
			}
		case atFirstRow, atRow:
			if c == ']' && p.state == atFirstRow {
				p.r++
				p.endArray()

				continue
			}

			p.state = behindRow

			n, err := p.span(p.opt.MaxRow)
			if err == nil || errors.Is(err, ErrRowTooLarge) {
				p.rows++
			}

			if err != nil {
				return nil, err
			}

			row := p.buf[p.r : p.r+n : p.r+n]
			p.r += n

			return row, nil
		case behindRow:
			p.r++

			switch c {
			case ',':
				p.state = atRow
			case ']':
				p.endArray()
			default:
				return nil, p.syntax()
			}
		case atFirstKey, atKey:
			if c == '}' && p.state == atFirstKey {
				p.r++
				p.state = atEnd

				continue
			}

			if c != '"' {
				return nil, p.syntax()
			}

			if err := p.member(); err != nil {
				return nil, err
			}
		case behindMember:
			p.r++

			switch c {
			case ',':
				p.state = atKey
			case '}':
				p.state = atEnd
			default:
				return nil, p.syntax()
			}
		case atEnd:
			return nil, p.syntax()
		}
	}
}

// bom is the byte order mark that some proxies put in front; a reader of JSON may pass
// over it (RFC 8259 §8.1).
const bom = "\ufeff"

// start looks at the first byte of the document.
func (p *Reader) start(c byte) error {
	switch c {
	case '{':
		p.state = atFirstKey
	case '[':
		p.state, p.bare = atFirstRow, true
	case bom[0]:
		for p.w-p.r < len(bom) {
			if err := p.fill(); err != nil {
				return p.broken(err)
			}
		}

		if string(p.buf[p.r:p.r+len(bom)]) != bom || p.noBOM {
			return fmt.Errorf("%w: it begins like no JSON object or array", ErrNotPage)
		}

		p.r, p.noBOM = p.r+len(bom), true

		return nil
	default:
		return fmt.Errorf("%w: it begins like no JSON object or array", ErrNotPage)
	}

	p.r++

	return nil
}

func (p *Reader) endArray() {
	p.state = behindMember
	if p.bare {
		p.state = atEnd
	}
}

// member reads a key of the page's object, and its value unless that is the array of
// rows.
func (p *Reader) member() error {
	n, err := p.span(maxText)
	if err != nil && !errors.Is(err, ErrRowTooLarge) {
		return err
	}

	name, err := unquote(p.take(n)) // empty when it was too long: no key that matters here
	if err != nil {
		return p.syntax()
	}

	c, err := p.peek()
	if err != nil {
		return p.broken(err)
	}

	if c != ':' {
		return p.syntax()
	}

	p.r++
	if c, err = p.peek(); err != nil {
		return p.broken(err)
	}

	switch {
	case name == "value":
		if c != '[' {
			return fmt.Errorf(`%w: its "value" is no array`, ErrNotPage)
		}

		p.r++
		p.state, p.hasValue = atFirstRow, true

		return nil
	case name == "error" && c != 'n':
		// An OData error object; services also append it to a page that they could not
		// finish.
		return fmt.Errorf(`%w: it carries an "error"`, ErrNotPage)
	case name == "@odata.nextLink" && c != 'n':
		return p.link(c)
	}

	p.state = behindMember
	if _, err := p.span(-1); err != nil && !errors.Is(err, ErrRowTooLarge) {
		return err
	}

	return nil
}

func (p *Reader) link(c byte) error {
	p.state = behindMember

	if c != '"' {
		return fmt.Errorf(`%w: its "@odata.nextLink" is no text`, ErrNotPage)
	}

	n, err := p.span(maxText)
	if errors.Is(err, ErrRowTooLarge) {
		return fmt.Errorf(`%w: its "@odata.nextLink" is longer than %d bytes`, ErrNotPage, maxText)
	}

	if err != nil {
		return err
	}

	if p.nextLink, err = unquote(p.take(n)); err != nil {
		return p.syntax()
	}

	return nil
}

// unquote gives the text of a JSON string, a copy, or nothing for no bytes.
func unquote(b []byte) (string, error) {
	if len(b) == 0 {
		return "", nil
	}

	if bytes.IndexByte(b, '\\') < 0 {
		return string(b[1 : len(b)-1]), nil
	}

	var s string

	err := json.Unmarshal(b, &s)

	return s, err
}

func (p *Reader) take(n int) []byte {
	b := p.buf[p.r : p.r+n]
	p.r += n

	return b
}

// span gives the length of the value that begins at buf[r] and brings all of it into
// the buffer, if it is no longer than limit. A longer one is consumed without being
// kept, and ErrRowTooLarge returned.
func (p *Reader) span(limit int) (int, error) {
	s, ok := newScanner(p.buf[p.r])
	if !ok {
		return 0, p.syntax()
	}

	n, dropping := 0, false
	for {
		m, done := s.scan(p.buf[p.r+n : p.w])

		n += m
		if done && n <= limit && !dropping {
			return n, nil
		}

		if n > limit || dropping {
			dropping = true
			p.r += n
			n = 0
		}

		if done {
			return 0, ErrRowTooLarge
		}

		if err := p.fill(); err != nil {
			return 0, p.broken(err)
		}
	}
}

// peek gives the next byte that is not white space, without consuming it. The error is
// fill's.
func (p *Reader) peek() (byte, error) {
	for {
		for p.r < p.w {
			switch c := p.buf[p.r]; c {
			case ' ', '\n', '\r', '\t':
				p.r++
			default:
				return c, nil
			}
		}

		if err := p.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads more behind buf[w], keeping buf[r:w]; it makes room first, or a larger
// buffer.
func (p *Reader) fill() error {
	if p.srcErr != nil {
		return p.srcErr
	}

	if p.r == p.w {
		p.r, p.w = 0, 0
	}

	if p.w == len(p.buf) {
		if err := p.makeRoom(); err != nil {
			return err
		}
	}

	// What is read behind a large row is kept in a small buffer later, see shrink.
	end := min(len(p.buf), p.w+p.opt.Buffer)
	for range 100 {
		n, err := p.src.Read(p.buf[p.w:end])
		p.w += n
		p.srcErr = err

		if n > 0 {
			return nil
		}

		if err != nil {
			return err
		}
	}

	p.srcErr = io.ErrNoProgress

	return p.srcErr
}

// makeRoom moves buf[r:w] to the front of the buffer, or into a larger one.
func (p *Reader) makeRoom() error {
	kept, most := p.w-p.r, max(p.opt.MaxRow, maxText)+p.opt.Buffer

	to := p.buf
	if kept > len(p.buf)/4*3 && len(p.buf) < most {
		size := min(2*len(p.buf), most)
		if size > LargeRow && p.giveUp == nil && p.permit != nil {
			release, err := p.permit()
			if err != nil {
				return err
			}

			p.giveUp = release
		}

		to = make([]byte, size)
	}

	copy(to, p.buf[p.r:p.w])
	p.buf, p.r, p.w = to, 0, kept

	return nil
}

// broken is the error for a document that ends, for the reason err, where it must not.
func (p *Reader) broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}

	return fmt.Errorf("page cut short after %d rows: %w", p.rows, err)
}

func (p *Reader) syntax() error { return fmt.Errorf("%w after %d rows", ErrSyntax, p.rows) }
