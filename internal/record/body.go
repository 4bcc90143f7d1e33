package record

import (
	"unicode/utf8"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/record/msgpack"
	"fluent-bit-defender/internal/record/ocsf"
)

// ownKeys is the body of the format json: the alert's own keys.
type ownKeys struct {
	tc *transcoder // nil before the first row: most of ten thousand tenants have none for days
}

func newOwnKeys(Options) (bodyEncoder, error) { return &ownKeys{}, nil }

// Append implements bodyEncoder.
func (k *ownKeys) Append(dst []byte, _ alert.Version, raw []byte) ([]byte, int, error) {
	if k.tc == nil {
		k.tc = new(transcoder)
	}

	return k.tc.object(dst, raw)
}

// noBody is the body of a record that has only a CEF line: it appends nothing. It
// transcodes the row all the same to find out whether the row is valid, since the CEF
// line is made of valid rows only.
type noBody struct{ ownKeys }

func newNoBody(Options) (bodyEncoder, error) { return &noBody{}, nil }

// Append implements bodyEncoder.
func (k *noBody) Append(dst []byte, v alert.Version, raw []byte) ([]byte, int, error) {
	_, _, err := k.ownKeys.Append(dst, v, raw)

	return dst, 0, err
}

// message is the body of the format raw: the key message with the row's own bytes.
type message struct{}

func newMessage(Options) (bodyEncoder, error) { return message{}, nil }

// Append implements bodyEncoder. It fails if the bytes are not UTF-8, which msgpack
// cannot hold in a str, or are not an object. It does not check the inside of the object:
// that is left to the program that parses the message.
func (message) Append(dst []byte, _ alert.Version, raw []byte) ([]byte, int, error) {
	if _, err := openingBrace(raw); err != nil {
		return dst, 0, err
	}

	if err := checkUTF8(raw); err != nil {
		return dst, 0, err
	}

	return msgpack.AppendStr(msgpack.AppendStr(dst, "message"), raw), 1, nil
}

// newFinding returns the body of the format ocsf: the keys of an OCSF event.
func newFinding(o Options) (bodyEncoder, error) {
	e, err := ocsf.NewEncoder(o.API, o.TenantID)
	return checked{e}, err
}

// checked is a body that takes only rows that are UTF-8.
type checked struct{ bodyEncoder }

// Append implements bodyEncoder.
func (c checked) Append(dst []byte, v alert.Version, raw []byte) ([]byte, int, error) {
	if err := checkUTF8(raw); err != nil {
		return dst, 0, err
	}

	return c.bodyEncoder.Append(dst, v, raw)
}

// checkUTF8 returns an error for a row that is not UTF-8.
func checkUTF8(raw []byte) error {
	if utf8.Valid(raw) {
		return nil
	}

	return msgpack.RowError(ErrUTF8, invalidAt(raw))
}

// invalidAt returns the offset of the first byte that is not UTF-8.
func invalidAt(raw []byte) int {
	i := 0

	for i < len(raw) {
		r, n := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}

		i += n
	}

	return i
}
