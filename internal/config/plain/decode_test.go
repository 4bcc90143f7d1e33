package plain_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"fluent-bit-defender/internal/config/plain"
)

func TestTextsOfWindowsProgramsAreRead(t *testing.T) {
	cases := map[string]struct{ data, want string }{
		"UTF-8":                     {"s3cr3t", "s3cr3t"},
		"UTF-8 with a mark":         {"\xef\xbb\xbfs3cr3t\r\n", "s3cr3t\r\n"},
		"UTF-16 of PowerShell":      {"\xff\xfes\x003\x00\r\x00\n\x00", "s3\r\n"},
		"UTF-16 with big end first": {"\xfe\xff\x00s\x003", "s3"},
		"UTF-16 without a mark":     {"s\x003\x00", "s3"},
		"the same, big end first":   {"\x00s\x003", "s3"},
		"beyond ASCII":              {"\xff\xfe\xe4\x00\x3d\xd8\x00\xde", "ä\U0001F600"},
		"nothing":                   {"", ""},
		"a mark alone":              {"\xff\xfe", ""},
		"cut off in a character":    {"\xff\xfes\x003", "-"},
		"half a surrogate pair":     {"\xff\xfe\x3d\xd8s\x00", "-"},
		"UTF-32":                    {"\xff\xfe\x00\x00s\x00\x00\x00", "-"},
		"Latin-1":                   {"caf\xe9", "-"},
		"binary":                    {"ab\x00c", "-"},
	}

	for name, tc := range cases {
		got, err := plain.Decode([]byte(tc.data))
		switch {
		case tc.want == "-" && !errors.Is(err, plain.ErrEncoding):
			t.Errorf("%s: %q, %v; want it refused", name, got, err)
		case tc.want != "-" && (err != nil || string(got) != tc.want):
			t.Errorf("%s: %q, %v; want %q", name, got, err, tc.want)
		}
	}
}

// FuzzDecode: what comes out is text without zero bytes, and what UTF-16 says is the
// same in UTF-8.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"s3cr3t", "\xef\xbb\xbfx", "\xff\xfes\x00", "\xfe\xff\x00s", "s\x003\x00", "\xff\xfe\x3d\xd8",
	} {
		f.Add([]byte(s))
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := plain.Decode(data)
		if err != nil {
			return
		}

		if !utf8.Valid(got) || bytes.IndexByte(got, 0) >= 0 {
			t.Fatalf("%q came out of %q", got, data)
		}

		again := []byte{0xff, 0xfe}
		for _, u := range utf16.Encode([]rune(string(got))) {
			again = binary.LittleEndian.AppendUint16(again, u)
		}

		if back, err := plain.Decode(again); err == nil && !bytes.Equal(back, got) {
			t.Fatalf("%q in UTF-16 reads as %q", got, back)
		}
	})
}
