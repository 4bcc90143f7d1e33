package config

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf16"
)

// asUTF16 writes a text as Windows programs do.
func asUTF16(order binary.AppendByteOrder, mark bool, text string) string {
	var b []byte
	if mark {
		b = order.AppendUint16(b, 0xfeff)
	}

	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}

	return string(b)
}

func TestFilesAreReadInEveryEncodingOfWindows(t *testing.T) {
	for name, encode := range map[string]func(string) string{
		"UTF-8":                        func(s string) string { return s },
		"UTF-8 with a mark":            func(s string) string { return "\xef\xbb\xbf" + s },
		"UTF-16":                       func(s string) string { return asUTF16(binary.LittleEndian, true, s) },
		"UTF-16 big endian":            func(s string) string { return asUTF16(binary.BigEndian, true, s) },
		"UTF-16 without a mark":        func(s string) string { return asUTF16(binary.LittleEndian, false, s) },
		"UTF-16 big endian, unmarked":  func(s string) string { return asUTF16(binary.BigEndian, false, s) },
		"UTF-8 with Windows line ends": func(s string) string { return s + "\r\n" },
	} {
		t.Run(name, func(t *testing.T) {
			dir := workshop(t)
			for _, file := range []string{"secret", "token", "both.pem", "cert.pem", "key32"} {
				path := filepath.Join(dir, file)

				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}

				write(t, path, encode(string(text)))
			}

			must(t, good(
				"client_secret", "", "client_secret_file", dir+"/secret",
				"refresh_token_file", dir+"/token",
				"ca_file", dir+"/cert.pem",
				"key_file", dir+"/key32",
			), env())
			must(t, good("client_secret", "", "client_certificate_file", dir+"/both.pem"), env())

			for file, want := range map[string]string{"secret": hidden, "token": "0.AAAA-seed"} {
				if got, err := ReadSecret(filepath.Join(dir, file)); err != nil || got.Reveal() != want {
					t.Errorf("%s: %q, %v", file, got.Reveal(), err)
				}
			}

			if key, err := ReadKey(filepath.Join(dir, "key32")); err != nil || len(key) != 32 || key[31] != 31 {
				t.Errorf("key of %d bytes, %v", len(key), err)
			}

			if pem, err := ReadPEM(filepath.Join(dir, "cert.pem")); err != nil || string(pem[:10]) != "-----BEGIN" {
				t.Errorf("PEM that begins with %q, %v", pem[:min(len(pem), 10)], err)
			}
		})
	}
}
