package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func TestRecordIDIsTheDocumentedHash(t *testing.T) {
	for _, c := range [][4]string{
		{"contoso.onmicrosoft.com", "graph", "da637551227677560813_-961444813", "16199651413266667"},
		{"t", "siem", "", ""},
		{"t", "siem", strings.Repeat("long", 300), ""},
	} {
		sum := sha256.Sum256([]byte(strings.Join(c[:], "\n")))
		want := hex.EncodeToString(sum[:])[:32]

		id := MakeID(TenantID(c[0]), API(c[1]), []byte(c[2]), []byte(c[3]))
		if id.String() != want || id.Key() != [16]byte(sum[:16]) {
			t.Errorf("%.60q: %s, key %x; want %s", c, id, id.Key(), want)
		}
	}
	// printf 'contoso\ngraph\na1\n16199651413266667' | sha256sum
	id := MakeID("contoso", "graph", []byte("a1"), []byte("16199651413266667"))
	if id.String() != "6b2b486701e584da942f43c4a7ac702e" {
		t.Errorf("the id that sha256sum gives became %s", id)
	}

	if (ID{}).Key() == (ID{1}).Key() {
		t.Error("different foreign ids have the same key")
	}

	identity, version := []byte("da637551227677560813_-961444813"), []byte("16199651413266667")

	if n := testing.AllocsPerRun(100, func() {
		id := MakeID("contoso.onmicrosoft.com", "graph", identity, version)
		_ = id.Key()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
