package tokens

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"fluent-bit-defender/internal/secret"
)

// maxPasted bounds a pasted answer in bytes; real ones have one to three thousand.
const maxPasted = 64 << 10

// ParsePasted reads what a person copied from the browser after signing in: the whole
// address that it ended on, its query alone, or the code alone. It drops line breaks
// and blanks that a terminal or a mail put in, and quotes and angle brackets around it.
//
// state is empty for a code alone. An address without a state was cut off, and so may
// be its code: that is an error. For an address with a refusal (`error=`) it returns an
// *Error that explains the refusal, and the state.
func ParsePasted(text string) (code secret.Text, state string, err error) {
	text, err = cleanPasted(text)
	if err != nil {
		return secret.Text{}, "", err
	}

	form, isAddress := pastedForm(text)
	if !isAddress {
		code, err = pastedCode(text)
		return code, "", err
	}

	state = form.Get("state")

	switch codes := form["code"]; {
	case form.Get("error") != "":
		return secret.Text{}, state, redirectRefusal(form).Explain(App{})
	case len(codes) != 1 || codes[0] == "":
		return secret.Text{}, "", errors.New(
			"the pasted address has no code: finish the sign-in in the browser, then paste the address it ended on",
		)
	case state == "":
		return secret.Text{}, "", errors.New(
			"the pasted address has no state, so it was cut off: paste it again, whole",
		)
	case len(form["state"]) > 1:
		return secret.Text{}, "", errors.New("the pasted address has more than one state: paste one address only")
	}

	code = secret.New(form.Get("code"))
	if err := checkCode(code); err != nil {
		return secret.Text{}, state, err
	}

	return code, state, nil
}

// cleanPasted returns the text without what does not belong to an address or a code.
func cleanPasted(text string) (string, error) {
	switch {
	case len(text) > maxPasted:
		return "", errors.New("the pasted text is too long to be the browser's address")
	case !utf8.ValidString(text):
		return "", errors.New("the pasted text is damaged: paste the whole address the browser ended on")
	}

	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == '\ufeff' {
			return -1
		}

		return r
	}, text)

	text = strings.Trim(text, "\"'<>`")
	if text == "" {
		return "", errors.New("nothing was pasted: paste the whole address the browser ended on")
	}

	return text, nil
}

// pastedCode returns the code in a text that is no address.
func pastedCode(text string) (secret.Text, error) {
	if strings.ContainsAny(text, "/?&#<>\"%") || len(text) < 16 {
		return secret.Text{}, errors.New(
			"the pasted text has no code: paste the whole address the browser ended on, from https:// to its end",
		)
	}

	code := secret.New(text)
	if err := checkCode(code); err != nil {
		return secret.Text{}, err
	}

	return code, nil
}

// checkCode returns an error for a text that cannot be an authorization code.
func checkCode(code secret.Text) error {
	if err := code.CheckToken(); err != nil {
		return fmt.Errorf("the code in what was pasted %w", err)
	}

	return nil
}

// pastedForm returns the parameters of an address, or of a query alone. It returns
// false if the text is neither.
func pastedForm(text string) (url.Values, bool) {
	parts := []string{text}
	if strings.Contains(text, "://") || strings.ContainsAny(text, "?#") {
		_, query, _ := strings.Cut(text, "?")

		query, fragment, _ := strings.Cut(query, "#")
		if query == "" {
			_, fragment, _ = strings.Cut(text, "#")
		}

		parts = []string{query, fragment}
	} else if !strings.Contains(text, "code=") && !strings.Contains(text, "error=") {
		return nil, false
	}

	form := url.Values{}

	for _, p := range parts {
		values, _ := url.ParseQuery(p) // what can be read of it
		if values.Has("code") || values.Has("error") {
			return values, true
		}
	}

	return form, true
}

// redirectRefusal reads the refusal in a redirect (RFC 6749 section 4.1.2.1).
func redirectRefusal(form url.Values) Refusal {
	return parseRefusal(form.Get("error"), form.Get("error_subcode"), form.Get("error_description"), nil)
}
