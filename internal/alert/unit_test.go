package alert

import "testing"

func TestIsGUID(t *testing.T) {
	for text, want := range map[string]bool{
		"9188040d-6c67-4c5b-b112-36a304b66dad":   true,
		"9188040D-6C67-4C5B-B112-36A304B66DAD":   true,
		"9188040d6c674c5bb11236a304b66dad":       false,
		"{9188040d-6c67-4c5b-b112-36a304b66dad}": false,
		"9188040g-6c67-4c5b-b112-36a304b66dad":   false,
		"contoso.onmicrosoft.com":                false,
		"":                                       false,
	} {
		if got := IsGUID(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
