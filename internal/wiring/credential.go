package wiring

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"

	"fluent-bit-defender/internal/clientcert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// credential returns how the application proves itself: by a secret, by a secret file or
// certificate file that is read again when it changes, or not at all (nil).
func credential(t config.Tenant, log *slog.Logger) tokens.Credential {
	switch text := t.ClientSecret; { // the function keeps the text, not the tenant
	case !text.IsZero():
		return tokens.Secret(func() (secret.Text, error) { return text, nil })
	case t.ClientSecretFile != "":
		return tokens.Secret(SecretFile("client_secret_file", t.ClientSecretFile, log))
	case t.ClientCertificateFile != "":
		return tokens.Certificate(certificateFile(t.ClientCertificateFile, log))
	}

	return nil
}

// seed returns the function that reads the configured refresh token, nil if none is.
func seed(t config.Tenant, log *slog.Logger) func() (secret.Text, error) {
	switch text := t.RefreshToken; { // as above
	case !text.IsZero():
		return func() (secret.Text, error) { return text, nil }
	case t.RefreshTokenFile != "":
		return SecretFile("refresh_token_file", t.RefreshTokenFile, log)
	}

	return nil
}

// SecretFile returns a function that reads a secret file again when it has changed. When
// the file cannot be used any more, the last good content stays in use and one line says
// so. key is the option that names the file.
func SecretFile(key, path string, log *slog.Logger) func() (secret.Text, error) {
	file := config.WatchFile(path)

	return func() (secret.Text, error) {
		value, err := file.Value()
		if err != nil && !value.IsZero() {
			log.Error(key + ": " + err.Error())

			err = nil
		}

		return value, err
	}
}

// certificateFile returns a function that reads a PEM file with certificate and private
// key. It is called for every sign-in, since the file may be replaced while we run. When
// the file cannot be used any more, the last good content stays in use and one line says
// so.
func certificateFile(path string, log *slog.Logger) func() ([]byte, error) {
	var (
		mu   sync.Mutex
		last []byte
		said string // the fault that was logged last
	)

	return func() ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()

		text, err := config.ReadPEM(path)
		if err == nil && !bytes.Equal(text, last) { // parsing checks the key's primes, which is slow
			_, _, err = clientcert.Parse(text)
		}

		if err == nil {
			last, said = text, ""
			return text, nil
		}

		if last == nil {
			return nil, fmt.Errorf("client_certificate_file: %w", err)
		}

		if said != err.Error() {
			said = err.Error()

			log.Error("client_certificate_file: " + said + "; the last good content stays in use")
		}

		return last, nil
	}
}
