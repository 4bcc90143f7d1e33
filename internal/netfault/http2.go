package netfault

import (
	"errors"
	"fmt"
	"strings"
)

// streamReset receives the error of net/http's HTTP/2 for a stream that was reset:
// errors.As fills in any struct that has these fields.
type streamReset struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error implements error, for errors.As.
func (e streamReset) Error() string { return resetName(e.Code) }

// resetNames are the codes of RFC 9113 section 7.
var resetNames = []string{
	"NO_ERROR",
	"PROTOCOL_ERROR",
	"INTERNAL_ERROR",
	"FLOW_CONTROL_ERROR",
	"SETTINGS_TIMEOUT",
	"STREAM_CLOSED",
	"FRAME_SIZE_ERROR",
	"REFUSED_STREAM",
	"CANCEL",
	"COMPRESSION_ERROR",
	"CONNECT_ERROR",
	"ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY",
	"HTTP_1_1_REQUIRED",
}

// resetName returns the name of an HTTP/2 error code.
func resetName(code uint32) string {
	if int(code) < len(resetNames) {
		return "HTTP/2 " + resetNames[code]
	}

	return fmt.Sprintf("HTTP/2 code %d", code)
}

// resetCode names the code with which an HTTP/2 server ended a request; it returns "" if
// err is something else. The error of a whole connection has no exported type: the
// beginning of its text identifies it. The rest is not used, since it quotes the server.
func resetCode(err error) string {
	var reset streamReset
	if errors.As(err, &reset) {
		return resetName(reset.Code)
	}

	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		switch text := inner.Error(); {
		case strings.HasPrefix(text, "http2: server sent GOAWAY"):
			return "HTTP/2 GOAWAY"
		case strings.HasPrefix(text, "http2: client connection lost"):
			return "HTTP/2 connection lost"
		case strings.HasPrefix(text, "connection error: "):
			return "HTTP/2 connection error"
		}
	}

	return ""
}
