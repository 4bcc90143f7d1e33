package tokens

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Grounds is the refusal by which a refresh token was declared dead, as a ChainStore
// keeps it. It has all that is needed to explain the refusal later in the very words of
// that moment. The zero Grounds means that the token lives.
type Grounds struct {
	// Codes are the AADSTS numbers of the refusal, as they came.
	Codes []int
	// OAuth is the error of RFC 6749 section 5.2; Suberror is Microsoft's refinement.
	OAuth, Suberror string
	// Status is the HTTP status of the answer; 0 means unknown.
	Status int
	// TraceID and CorrelationID find the request in Microsoft's logs.
	TraceID, CorrelationID string
}

// storedGrounds is the text form of Grounds.
type storedGrounds struct {
	Codes         []int  `json:"codes"`
	OAuth         string `json:"error,omitempty"`
	Suberror      string `json:"suberror,omitempty"`
	Status        int    `json:"status,omitempty"`
	TraceID       string `json:"trace_id,omitempty"`
	CorrelationID string `json:"correlation_id,omitempty"`
}

// maxGrounds bounds the text form in bytes; the longest that MarshalText writes has some
// 600.
const maxGrounds = 4096

// IsZero reports whether there are no grounds: the token lives.
func (g Grounds) IsZero() bool { return len(g.Codes) == 0 }

// Code returns the AADSTS number that decided; 0 for the zero Grounds.
func (g Grounds) Code() int { return g.Explain(App{}).Code }

// String returns the code that decided, such as "AADSTS700082"; nothing for the zero
// Grounds.
func (g Grounds) String() string {
	if g.IsZero() {
		return ""
	}

	return codeName(g.Code())
}

func codeName(code int) string { return "AADSTS" + strconv.Itoa(code) }

// grounds returns what has to be stored of e when it ends a refresh token.
func (e *Error) grounds() Grounds {
	return Grounds{
		Codes:         slices.Clone(e.Codes),
		OAuth:         e.OAuth,
		Suberror:      e.Suberror,
		Status:        e.Status,
		TraceID:       e.TraceID,
		CorrelationID: e.CorrelationID,
	}
}

// Explain returns the error of the refusal, with the sentence, remedy and exit code that
// it had when it came. app is whose chain it is.
func (g Grounds) Explain(app App) *Error {
	a := answer{
		err:         g.OAuth,
		suberror:    g.Suberror,
		codes:       slices.Clone(g.Codes),
		trace:       g.TraceID,
		correlation: g.CorrelationID,
	}

	return explainAnswer(a, g.Status, app)
}

// MarshalText returns the form that a store keeps: JSON, or nothing for the zero Grounds.
func (g Grounds) MarshalText() ([]byte, error) {
	if g.IsZero() {
		return nil, nil
	}

	return json.Marshal(storedGrounds(g))
}

// UnmarshalText reads what MarshalText wrote, and the bare codes ("AADSTS700082") of
// older versions.
//
// Grounds that do not end a token by the rules of this version are read as none, so that
// the token is tried again: older versions ended tokens by codes that they did not know.
// The same holds for text that cannot be read. There is never an error.
func (g *Grounds) UnmarshalText(text []byte) error {
	*g = Grounds{}

	var s storedGrounds
	if bare, ok := strings.CutPrefix(string(text), "AADSTS"); ok {
		if code, err := strconv.Atoi(bare); err == nil {
			s.Codes = []int{code}
		}
	} else if len(text) > maxGrounds || json.Unmarshal(text, &s) != nil {
		return nil
	}

	read := s.checked()
	if !read.IsZero() && read.Explain(App{}).dead {
		*g = read
	}

	return nil
}

// checked returns what may be printed of a stored text: known names and ids only, as of
// an answer.
func (s storedGrounds) checked() Grounds {
	g := Grounds{TraceID: guidLike(s.TraceID), CorrelationID: guidLike(s.CorrelationID)}

	for _, code := range s.Codes[:min(len(s.Codes), maxCodes)] {
		if code > 0 && code < 1e9 {
			g.Codes = append(g.Codes, code)
		}
	}

	if knownOAuth(s.OAuth) {
		g.OAuth = s.OAuth
	}

	if slices.Contains(suberrors, s.Suberror) {
		g.Suberror = s.Suberror
	}

	if s.Status >= 100 && s.Status < 600 {
		g.Status = s.Status
	}

	return g
}
