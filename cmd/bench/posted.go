package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"fluent-bit-defender/internal/pause"
)

// postedBytes is how many bytes of alerts are sent to Fluent Bit's http input at a time.
const postedBytes = 1_000_000

// posted returns the contender that is Fluent Bit's own http input. This program sends it
// the alerts of the file lines, through TLS and compressed; what that costs is not
// counted.
func (b *bench) posted(s *server, lines string) (*contender, error) {
	cert, err := newCertificate()
	if err != nil {
		return nil, err
	}

	certFile, keyFile := filepath.Join(b.dir, "http.pem"), filepath.Join(b.dir, "http.key")
	if err := writeCertificate(cert, certFile, keyFile); err != nil {
		return nil, err
	}

	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)

	address, err := freeAddress()
	if err != nil {
		return nil, err
	}

	_, port, _ := net.SplitHostPort(address)

	return &contender{
		name:  "Fluent Bit's http input, TLS, gzip, posted to",
		rows:  s.Rows,
		bytes: s.Bytes,
		input: func() section {
			return section{
				"name", "http",
				"listen", "127.0.0.1",
				"port", port,
				"buffer_max_size", "8M",
				"tls", "on",
				"tls.verify", "off",
				"tls.crt_file", certFile,
				"tls.key_file", keyFile,
			}
		},
		feed: func(ctx context.Context) error { return postAll(ctx, "https://"+address+"/defender", pool, lines) },
	}, nil
}

// writeCertificate writes a certificate and its key into two files.
func writeCertificate(cert tls.Certificate, certFile, keyFile string) error {
	der, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		return err
	}

	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})

	return errors.Join(os.WriteFile(certFile, public, 0o600), os.WriteFile(keyFile, private, 0o600))
}

// postAll sends the alerts of a file, one a line, as arrays of JSON.
func postAll(ctx context.Context, address string, trusted *x509.CertPool, lines string) error {
	in, err := os.Open(lines)
	if err != nil {
		return err
	}
	defer in.Close()

	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
	}}
	defer client.CloseIdleConnections()

	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 64<<20)

	body := []byte{'['}

	for scan.Scan() {
		body = append(append(body, scan.Bytes()...), ',')

		if len(body) > postedBytes {
			if err := post(ctx, client, address, body); err != nil {
				return err
			}

			body = body[:1]
		}
	}

	if err := scan.Err(); err != nil || len(body) == 1 {
		return err
	}

	return post(ctx, client, address, body)
}

// post sends an array of which the last byte is a comma. An input that does not listen
// yet is asked again.
func post(ctx context.Context, client *http.Client, address string, array []byte) error {
	array[len(array)-1] = ']'

	var zipped bytes.Buffer

	zip := gzips.Get().(*gzip.Writer)
	defer gzips.Put(zip)

	zip.Reset(&zipped)

	if _, err := zip.Write(array); err != nil {
		return err
	}

	if err := zip.Close(); err != nil {
		return err
	}

	for try := 0; ; try++ {
		status, err := send(ctx, client, address, zipped.Bytes())

		switch {
		case err == nil && status == http.StatusCreated:
			return nil
		case err == nil:
			return fmt.Errorf("the http input answered %d", status)
		case try == 100:
			return err
		}

		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// send sends a compressed body once, and returns the status of the answer.
func send(ctx context.Context, client *http.Client, address string, body []byte) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}

	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Encoding", "gzip")

	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}

	return res.StatusCode, res.Body.Close()
}
