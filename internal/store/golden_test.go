package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"fluent-bit-defender/internal/test/golden"
	"fluent-bit-defender/internal/tick"
)

// What version 1 wrote must be read by every later version: operators update the
// program, not the files.
func TestGoldenFilesOfVersion1AreRead(t *testing.T) {
	// v1 is from before tokens.db was sealed. It is never written anew: no program
	// writes it any more.
	unsealed := filepath.Join("..", "..", "testdata", "store", "v1")
	sealed := filepath.Join("..", "..", "testdata", "store", "v1-sealed")
	files := []string{tokensFile, copyFile, feedsFile}
	checkpoint := Checkpoint{
		Floor:     1,
		Watermark: 16014749601234567,
		SeenSince: 16014749600000000,
		Swept:     16014749600000001,
		Lateness:  90 * time.Second,
	}
	seen := []Seen{{Key: [16]byte{1, 2, 3}, Time: 16014749600000002}, {Key: [16]byte{255}, Time: 16014749601234567}}
	// v1-sealed is written only where it is missing: a file that this program wrote again
	// would not show that it still reads the old one.
	if _, err := os.Stat(sealed); golden.Update() && os.IsNotExist(err) {
		w := newWorld(t)
		s := w.open(withKey(testKey))
		save(t, s, 1, "version-1-token")
		if err := s.Tokens().Save(t.Context(), chainKey(2), chainOf("with-seed"), [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), []Commit{{Key: testFeed, Checkpoint: checkpoint, Seen: seen}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutAside(t.Context(), testFeed, Aside{From: 1, To: 2, Reason: "HTTP 500"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Rewind(t.Context(), testFeed, tick.Tick(77)); err != nil {
			t.Fatal(err)
		}
		if err := s.SetStatus(
			t.Context(),
			map[FeedKey]Status{testFeed: {State: "failing", Reason: "no network"}},
		); err != nil {
			t.Fatal(err)
		}
		s.Close()
		for _, name := range files {
			content, err := os.ReadFile(filepath.Join(w.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			golden.Write(t, filepath.Join(sealed, name), content)
		}
	}
	for name, c := range map[string]struct{ dir, lost string }{
		"all files":                      {sealed, ""},
		"tokens from the copy":           {sealed, tokensFile},
		"all files, unsealed":            {unsealed, ""},
		"tokens from the copy, unsealed": {unsealed, tokensFile},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := os.Mkdir(w.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range files {
				if name != c.lost {
					copyTo(t, filepath.Join(c.dir, name), filepath.Join(w.dir, name))
				}
			}
			s := w.open(withKey(testKey))
			expectToken(t, s, 1, "version-1-token")
			if seen, err := s.Tokens().SeedSeen(t.Context(), chainKey(2), [32]byte{1}); err != nil || !seen {
				t.Errorf("SeedSeen = %v, %v", seen, err)
			}
			found, got, ok, err := s.Load(t.Context(), testFeed)
			if err != nil || !ok || found != checkpoint || len(got) != 2 || got[0] != seen[0] || got[1] != seen[1] {
				t.Errorf("Load = %+v, %v, %v, %v", found, got, ok, err)
			}
			if asides, err := s.ListAsides(
				t.Context(),
				testFeed,
			); err != nil || len(asides) != 1 ||
				asides[0].Reason != "HTTP 500" {
				t.Errorf("Asides = %v, %v", asides, err)
			}
			if statuses, err := s.Statuses(t.Context()); err != nil || statuses[testFeed].Reason != "no network" {
				t.Errorf("Statuses = %v, %v", statuses, err)
			}
			if pending, err := s.PendingRewind(t.Context(), testFeed); err != nil || pending[testFeed] != 77 {
				t.Errorf("PendingRewind = %v, %v", pending, err)
			}
		})
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
