package instance

import (
	"bytes"
	"fmt"
	"sync"

	"fluent-bit-defender/internal/clientcert"
	"fluent-bit-defender/internal/config"
)

// certificateFile reads a PEM file with certificate and private key for every request:
// it may be replaced while we run. When it cannot be used any more, the last good
// content stays in use and one line says so.
func certificateFile(path string, say func(level, text string)) func() ([]byte, error) {
	var (
		mu   sync.Mutex
		last []byte
	)

	told := ""

	return func() ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()

		text, err := config.ReadPEM(path)
		if err == nil && !bytes.Equal(text, last) { // parsing checks the key's primes, which is slow
			_, _, err = clientcert.Parse(text)
		}

		if err == nil {
			last, told = text, ""
			return text, nil
		}

		if last == nil {
			return nil, fmt.Errorf("client_certificate_file: %w", err)
		}

		if told != err.Error() {
			told = err.Error()
			say("error", "client_certificate_file: "+told+"; the last good content stays in use")
		}

		return last, nil
	}
}
