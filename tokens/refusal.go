package tokens

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Refusal is what the sign-in service said when it refused a request. A ChainStore
// keeps the refusal with which a refresh token was declared dead, so that it can be
// explained later in the same words. The zero Refusal stands for none: the token lives.
type Refusal struct {
	// AADSTS are Microsoft's numbers, in the order of the answer.
	AADSTS []int
	// OAuth is the error of RFC 6749 section 5.2; Suberror is Microsoft's refinement.
	OAuth, Suberror string
	// Status is the HTTP status of the answer; 0 means unknown.
	Status int
	// TraceID and CorrelationID find the request in Microsoft's logs.
	TraceID, CorrelationID string
}

// storedRefusal is the text form of Refusal.
type storedRefusal struct {
	AADSTS        []int  `json:"codes"`
	OAuth         string `json:"error,omitempty"`
	Suberror      string `json:"suberror,omitempty"`
	Status        int    `json:"status,omitempty"`
	TraceID       string `json:"trace_id,omitempty"`
	CorrelationID string `json:"correlation_id,omitempty"`
}

// maxRefusal bounds the text form in bytes; the longest that MarshalText writes has
// some 600.
const maxRefusal = 4096

// IsZero reports whether the refusal has no code. A refusal without a code never ends a
// token.
func (r Refusal) IsZero() bool { return len(r.AADSTS) == 0 }

// Code returns the AADSTS number that decides, or 0 if there is none.
func (r Refusal) Code() int { return r.Explain(App{}).Code }

// String returns the code that decides, such as "AADSTS700082", or "" if there is none.
func (r Refusal) String() string {
	if r.IsZero() {
		return ""
	}

	return codeName(r.Code())
}

func codeName(code int) string { return "AADSTS" + strconv.Itoa(code) }

// MarshalText returns the form that a store keeps: JSON, or nothing for the zero
// Refusal.
func (r Refusal) MarshalText() ([]byte, error) {
	if r.IsZero() {
		return nil, nil
	}

	return json.Marshal(storedRefusal(r))
}

// UnmarshalText reads what MarshalText wrote, and the bare codes ("AADSTS700082") of
// older versions.
//
// A refusal that does not end a token by the rules of this version is read as the zero
// Refusal, so that the token is tried again: older versions ended tokens for codes that
// they did not know. So is text that cannot be read. UnmarshalText never returns an
// error.
func (r *Refusal) UnmarshalText(text []byte) error {
	*r = Refusal{}

	var s storedRefusal
	if bare, ok := strings.CutPrefix(string(text), "AADSTS"); ok {
		if code, err := strconv.Atoi(bare); err == nil {
			s.AADSTS = []int{code}
		}
	} else if len(text) > maxRefusal || json.Unmarshal(text, &s) != nil {
		return nil
	}

	read := s.checked()
	if !read.IsZero() && read.Explain(App{}).dead {
		*r = read
	}

	return nil
}

// checked returns what may be printed of a stored text: known names and ids only.
func (s storedRefusal) checked() Refusal {
	r := Refusal{TraceID: printableID(s.TraceID), CorrelationID: printableID(s.CorrelationID)}

	for _, code := range s.AADSTS[:min(len(s.AADSTS), maxCodes)] {
		if code > 0 && code < 1e9 {
			r.AADSTS = append(r.AADSTS, code)
		}
	}

	if knownOAuth(s.OAuth) {
		r.OAuth = s.OAuth
	}

	if slices.Contains(suberrors, s.Suberror) {
		r.Suberror = s.Suberror
	}

	if s.Status >= 100 && s.Status < 600 {
		r.Status = s.Status
	}

	return r
}
