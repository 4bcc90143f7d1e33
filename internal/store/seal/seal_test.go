package seal

import (
	"bytes"
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"

	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

var testKey = bytes.Repeat([]byte{7}, 32)

func chainKey(n int) tokens.ChainKey {
	return tokens.ChainKey{LoginHost: "login.example.test", TenantID: string(rune('a' + n)), ClientID: "client"}
}

func TestATokenIsBoundToTheVersionOfItsRow(t *testing.T) {
	s, err := NewKey(testKey)
	if err != nil {
		t.Fatal(err)
	}

	at := Place{Key: chainKey(1), Field: "refresh", Version: 7}

	b, err := s.Encrypt(at, secret.New("token"))
	if err != nil {
		t.Fatal(err)
	}

	if got, err := s.Decrypt(at, b, false); err != nil || got.Reveal() != "token" {
		t.Errorf("%q, %v", got.Reveal(), err)
	}

	for name, elsewhere := range map[string]Place{
		"version": {chainKey(1), "refresh", 8},
		"field":   {chainKey(1), "previous", 7},
		"chain":   {chainKey(2), "refresh", 7},
	} {
		if got, err := s.Decrypt(elsewhere, b, true); !errors.Is(err, store.ErrKey) {
			t.Errorf("another %s: %q, %v", name, got.Reveal(), err)
		}
	}

	old := bytes.Clone(b)

	old[0] = formSealed1
	if got, err := s.Decrypt(at, old, true); !errors.Is(err, store.ErrKey) {
		t.Errorf("passed off as the older form: %q, %v", got.Reveal(), err)
	}
}

func TestSumsOfCodesAreModulo2To256(t *testing.T) {
	modulus := new(big.Int).Lsh(big.NewInt(1), 256)
	random := rand.New(rand.NewPCG(1, 2))

	for range 1000 {
		var a, b rowCode
		for i := range a {
			a[i], b[i] = byte(random.Uint32()), byte(random.Uint32())
			if random.IntN(3) == 0 {
				a[i], b[i] = 255, 255
			}
		}

		x, y := new(big.Int).SetBytes(a[:]), new(big.Int).SetBytes(b[:])
		sum := new(big.Int).Mod(new(big.Int).Add(x, y), modulus)
		difference := new(big.Int).Mod(new(big.Int).Sub(x, y), modulus)

		plus, minus := a.plus(b), a.minus(b)
		if new(big.Int).SetBytes(plus[:]).Cmp(sum) != 0 || new(big.Int).SetBytes(minus[:]).Cmp(difference) != 0 {
			t.Fatalf("%x and %x: %x, %x", a, b, plus, minus)
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	s, err := NewKey(testKey)
	if err != nil {
		f.Fatal(err)
	}

	at := Place{Key: chainKey(1), Field: "refresh", Version: 7}
	for _, by := range []*Key{nil, s} {
		b, err := by.Encrypt(at, secret.New("token"))
		if err != nil {
			f.Fatal(err)
		}

		f.Add(b)
	}

	f.Add([]byte{formSealed})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, by := range []*Key{nil, s} {
			got, err := by.Decrypt(at, b, false)
			if err == nil && len(b) > 0 && (b[0] != formPlain || by != nil) && got.Reveal() != "token" {
				t.Fatalf("%x opens as %q", b, got.Reveal())
			}
		}

		if _, _, ok := s.readSeal(b); ok {
			t.Fatalf("%x is taken for a seal", b)
		}
	})
}
