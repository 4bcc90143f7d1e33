package main

import (
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// way is one way to reach a simulator.
type way struct {
	LoginURL, APIURL string
	CA               string // file with the certificate; empty without TLS

	tls, gzip, http1 bool
}

// The ways to reach a simulator. ordinary is the one that Microsoft's services have.
const (
	ordinary = "TLS, gzip"
	plain    = "plain"
)

// ways are all of them.
var ways = map[string]way{
	ordinary:              {tls: true, gzip: true},
	"TLS, gzip, HTTP/1.1": {tls: true, gzip: true, http1: true},
	"TLS":                 {tls: true},
	"gzip":                {gzip: true},
	plain:                 {},
}

// serveWays serves the simulator in all ways, until end is called.
func (s *served) serveWays(w world, sim *simulator.Simulator) (end func(), err error) {
	f, err := newFront(sim)
	if err != nil {
		return nil, err
	}

	s.Ways = make(map[string]way)

	for name, x := range ways {
		if x.tls {
			x.CA = f.ca
		}

		if x.LoginURL, err = f.serve(simulator.Login, x); err == nil {
			x.APIURL, err = f.serve(w.API, x)
		}

		if err != nil {
			f.close()
			return nil, err
		}

		s.Ways[name] = x
	}

	return f.close, nil
}

// front serves a simulator over TLS, with compressed answers.
type front struct {
	sim     *simulator.Simulator
	cert    tls.Certificate
	ca      string // file with the certificate
	servers []*http.Server
}

// newCertificate makes a certificate for 127.0.0.1.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}

	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}

	leaf, err := x509.ParseCertificate(der)

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// newFront makes a certificate for the servers.
func newFront(sim *simulator.Simulator) (*front, error) {
	cert, err := newCertificate()
	if err != nil {
		return nil, err
	}

	ca, err := os.CreateTemp("", "defender-bench-ca-*.pem")
	if err != nil {
		return nil, err
	}

	err = pem.Encode(ca, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})

	return &front{sim: sim, cert: cert, ca: ca.Name()}, errors.Join(err, ca.Close())
}

// serve listens for one host of the simulator and returns its address.
func (f *front) serve(host string, x way) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}

	server := &http.Server{
		Handler:           f.sim.Handler(host),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{f.cert}, MinVersion: tls.VersionTLS12},
	}
	if x.http1 {
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(true)
	}

	if x.gzip {
		server.Handler = compressed(server.Handler)
	}

	f.servers = append(f.servers, server)

	if !x.tls {
		go func() { _ = server.Serve(l) }() // ends with close
		return "http://" + l.Addr().String(), nil
	}

	go func() { _ = server.ServeTLS(l, "", "") }() // likewise

	return "https://" + l.Addr().String(), nil
}

// close ends all connections.
func (f *front) close() {
	for _, server := range f.servers {
		_ = server.Close() // the process ends
	}

	_ = os.Remove(f.ca)
}

// compressed compresses the answers of a handler.
func compressed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.ServeHTTP(w, r)
			return
		}

		zip := &compressor{ResponseWriter: w}
		defer zip.close()

		h.ServeHTTP(zip, r)
	})
}

// compressor is a ResponseWriter that compresses the body.
type compressor struct {
	http.ResponseWriter
	zip *gzip.Writer // nil before the header is written
}

// WriteHeader implements http.ResponseWriter.
func (c *compressor) WriteHeader(status int) {
	c.Header().Del("Content-Length")
	c.Header().Set("Content-Encoding", "gzip")
	c.ResponseWriter.WriteHeader(status)

	c.zip = gzips.Get().(*gzip.Writer)
	c.zip.Reset(c.ResponseWriter)
}

// Write implements http.ResponseWriter.
func (c *compressor) Write(p []byte) (int, error) {
	if c.zip == nil {
		c.WriteHeader(http.StatusOK)
	}

	return c.zip.Write(p)
}

// close ends the body.
func (c *compressor) close() {
	if c.zip != nil {
		_ = c.zip.Close() // an error shows at the other end
		gzips.Put(c.zip)
	}
}

// gzips are writers for reuse: one takes a megabyte.
var gzips = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return w
}}
