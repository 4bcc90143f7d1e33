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
	// MaxRow is the length of the longest row in bytes; 0 means DefaultMaxRow.
	MaxRow int
	// List is the key of the array whose elements are the rows; empty means "value".
	List string
	// Buffer is the initial size of the buffer in bytes, and its size when the next
	// page begins; 0 means DefaultBuffer.
	Buffer int
}

// A Reader finds the rows of a page: the elements of the array "value" of an OData
// object, wherever that key is among the others, or those of a bare array. Its memory
// does not depend on the length of the page: it is at most Buffer + MaxRow bytes (or
// Buffer + 1 MiB if MaxRow is less, for the link), and half as much again while the
// buffer grows. It is not for concurrent use.
type Reader struct {
	src    io.Reader
	opt    Options
	buf    []byte
	permit Permit
	giveUp func() // gives the permit back; nil while the Reader has none
	r, w   int    // buf[r:w] is read from src and not consumed yet
	srcErr error

	state    state
	bare     bool // the document is an array
	hadBOM   bool // there was a byte order mark: no second one may follow
	hasValue bool
	rows     int
	nextLink string
	err      error // what Next returns from now on
}

// state is the place in the document that the Reader is at.
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

// A Permit is called before the buffer grows beyond LargeRow. It may wait. If it returns
// an error, that ends the page. The Reader calls release once, when it no longer needs
// the memory of the large row.
type Permit func() (release func(), err error)

// NewReader returns a Reader of the page that r delivers.
func NewReader(r io.Reader, o Options) *Reader {
	if o.MaxRow <= 0 {
		o.MaxRow = DefaultMaxRow
	}

	if o.Buffer <= 0 {
		o.Buffer = DefaultBuffer
	}

	if o.List == "" {
		o.List = "value"
	}

	p := &Reader{opt: o}
	p.Reset(r)

	return p
}

// Reset makes p a Reader of the page that r delivers, as if it were new. It keeps its
// buffer, unless that has grown for a large row.
func (p *Reader) Reset(r io.Reader) {
	buf := p.buf
	if len(buf) != p.opt.Buffer {
		buf = make([]byte, p.opt.Buffer)
	}

	p.release()
	*p = Reader{src: r, opt: p.opt, buf: buf}
}

// Ask makes p call permit before it keeps a row of more than LargeRow bytes. It holds
// until Reset.
func (p *Reader) Ask(permit Permit) { p.permit = permit }

// release gives the permit back, if the Reader has one.
func (p *Reader) release() {
	if p.giveUp != nil {
		p.giveUp()
		p.giveUp = nil
	}
}

// shrink replaces a buffer that has grown for a large row by a small one, and then gives
// the permit back.
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

// Rows returns the number of rows so far, including those that were too large.
func (p *Reader) Rows() int { return p.rows }

// Bare reports whether the document is an array rather than an object. It is known as
// soon as Next has returned a row or io.EOF.
func (p *Reader) Bare() bool { return p.bare }

// NextLink returns the "@odata.nextLink" of the page, empty if it has none. The link may
// follow the rows, so it is known for certain only when Next has returned io.EOF.
func (p *Reader) NextLink() string { return p.nextLink }

// Next returns the next row, byte for byte as the page has it. It is valid until the next
// call. A row need not be an object, nor even JSON: Next only follows strings and
// brackets to find its end.
//
// At the end of the document, and only there, Next returns io.EOF. Other errors:
//   - ErrRowTooLarge: this row was skipped, reading can go on;
//   - ErrNotPage, ErrSyntax: the rows so far are whole, the rest is unknown;
//   - one that wraps io.ErrUnexpectedEOF: the body was cut short, the rows so far are
//     whole;
//   - one that wraps an error of the underlying reader or of the permit: the same.
//
// All but the first are final: Next returns them again.
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

// next reads on from where the last call stopped, up to the next row. Each round of the
// loop handles the byte c, which is the first of something or the end of it.
func (p *Reader) next() ([]byte, error) {
	for {
		c, err := p.peek()
		if err != nil {
			return nil, p.ended(err)
		}

		switch p.state {
		case atStart:
			err = p.start(c)
		case atFirstRow, atRow:
			if c != ']' || p.state == atRow {
				return p.row()
			}

			p.r++
			p.endArray()
		case behindRow:
			err = p.afterRow(c)
		case atFirstKey, atKey:
			err = p.key(c)
		case behindMember:
			err = p.afterMember(c)
		case atEnd:
			err = p.syntax()
		}

		if err != nil {
			return nil, err
		}
	}
}

// ended returns what Next returns when the source has ended with err: io.EOF if the
// document is complete, and else why it is not a page.
func (p *Reader) ended(err error) error {
	if p.state != atEnd || !errors.Is(err, io.EOF) {
		return p.broken(err)
	}

	if !p.bare && !p.hasValue {
		return fmt.Errorf(`%w: an object without %q`, ErrNotPage, p.opt.List)
	}

	return io.EOF
}

// row reads the row that begins at buf[r].
func (p *Reader) row() ([]byte, error) {
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
}

// afterRow reads the byte c behind a row: a comma or the end of the array.
func (p *Reader) afterRow(c byte) error {
	p.r++

	switch c {
	case ',':
		p.state = atRow
	case ']':
		p.endArray()
	default:
		return p.syntax()
	}

	return nil
}

// key reads the member of the page's object that begins with c, or the end of an object
// without members.
func (p *Reader) key(c byte) error {
	switch {
	case c == '"':
		return p.member()
	case c == '}' && p.state == atFirstKey:
		p.r++
		p.state = atEnd

		return nil
	}

	return p.syntax()
}

// afterMember reads the byte c behind a member: a comma or the end of the object.
func (p *Reader) afterMember(c byte) error {
	p.r++

	switch c {
	case ',':
		p.state = atKey
	case '}':
		p.state = atEnd
	default:
		return p.syntax()
	}

	return nil
}

// bom is the byte order mark that some proxies put in front; a reader of JSON may ignore
// it (RFC 8259 §8.1).
const bom = "\ufeff"

// errNotJSON is returned for a document that is something else, such as an HTML page.
var errNotJSON = fmt.Errorf("%w: it does not begin with a JSON object or array", ErrNotPage)

// start reads the first byte of the document, c, or the byte order mark in front of it.
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

		if string(p.buf[p.r:p.r+len(bom)]) != bom || p.hadBOM {
			return errNotJSON
		}

		p.r += len(bom)
		p.hadBOM = true

		return nil
	default:
		return errNotJSON
	}

	p.r++

	return nil
}

// endArray sets the state behind the array of rows.
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

	name, err := unquote(p.take(n)) // empty for a key that is too long: it is none of those below
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
	case name == p.opt.List:
		if c != '[' {
			return fmt.Errorf(`%w: its %q is not an array`, ErrNotPage, p.opt.List)
		}

		p.r++
		p.state, p.hasValue = atFirstRow, true

		return nil
	case c == 'n': // null, as if the key were not there
	case name == "error":
		// An OData error object; services also append it to a page that they could not
		// finish.
		return fmt.Errorf(`%w: it has an "error"`, ErrNotPage)
	case name == "@odata.nextLink":
		return p.link(c)
	}

	p.state = behindMember
	if _, err := p.span(-1); err != nil && !errors.Is(err, ErrRowTooLarge) {
		return err
	}

	return nil
}

// link reads the value of "@odata.nextLink", which begins with c.
func (p *Reader) link(c byte) error {
	p.state = behindMember

	if c != '"' {
		return fmt.Errorf(`%w: its "@odata.nextLink" is not a string`, ErrNotPage)
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

// unquote returns the text of a JSON string as a copy, and an empty text for no bytes.
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

// broken returns the error for a document that ends too early, because of err.
func (p *Reader) broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}

	return fmt.Errorf("page cut short after %d rows: %w", p.rows, err)
}

// syntax returns the error for a document that is not JSON.
func (p *Reader) syntax() error { return fmt.Errorf("%w after %d rows", ErrSyntax, p.rows) }
