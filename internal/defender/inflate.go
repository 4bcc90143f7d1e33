package defender

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Answers are asked for in compressed form. We inflate them ourselves, since the inflater
// of the standard library takes half as long again, and net/http makes a new one of 40 KB
// for every answer.

// acceptEncoding is the header that asks for compressed answers.
const acceptEncoding = "gzip"

// compressedBuffer is the size of the buffer in front of an inflater: two records of TLS.
const compressedBuffer = 32 << 10

// errEncoding is the error of an answer in an encoding that was not asked for.
var errEncoding = errors.New("an encoding that was not asked for")

// plain returns the body of an answer without its Content-Encoding. Closing it closes
// the body of the answer.
func plain(res *http.Response) io.ReadCloser {
	coding := strings.ToLower(strings.Join(res.Header.Values("Content-Encoding"), ","))
	switch strings.TrimSpace(coding) {
	case "", "identity":
		return res.Body
	case "gzip", "x-gzip": // RFC 9110, section 8.4.1.3
		return &inflated{from: res.Body}
	}

	return &inflated{from: res.Body, err: fmt.Errorf("%w (%.40q)", errEncoding, coding)}
}

// inflated reads a compressed body. What follows the end of the compressed data must be
// compressed data again (RFC 1952 allows several members); anything else is an error, as
// is an early end.
type inflated struct {
	from io.ReadCloser
	with *inflater // nil before the first Read and after Close
	err  error     // of the last Read; it stays
}

// inflater inflates one body at a time.
type inflater struct {
	input *bufio.Reader
	zip   *gzip.Reader
}

// inflaters are for reuse: most answers are small, and an inflater is large.
var inflaters = sync.Pool{New: func() any {
	return &inflater{input: bufio.NewReaderSize(nil, compressedBuffer), zip: new(gzip.Reader)}
}}

// Read implements io.Reader.
func (b *inflated) Read(p []byte) (n int, err error) {
	if b.err == nil && b.with == nil {
		b.with = inflaters.Get().(*inflater)
		b.with.input.Reset(b.from)
		b.err = b.with.zip.Reset(b.with.input)
	}

	if b.err != nil {
		return 0, b.err
	}

	n, b.err = b.with.zip.Read(p)

	return n, b.err
}

// Close implements io.Closer.
func (b *inflated) Close() error {
	if b.with != nil {
		b.with.input.Reset(nil)
		inflaters.Put(b.with)
		b.with = nil
	}

	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}

	return b.from.Close()
}
