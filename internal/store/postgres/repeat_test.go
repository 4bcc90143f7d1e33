package postgres

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/store/postgres/pgtest"
	"fluent-bit-defender/internal/store/storetest"
	"fluent-bit-defender/internal/tick"
)

// kept is what a unit has, but for the numbers of its deferred work.
type kept struct {
	checkpoint store.Checkpoint
	seen       int
	deferred   []string
}

func keptOf(t *testing.T, s *Store, key alert.UnitKey) (k kept) {
	t.Helper()

	c, seen, _, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	list, err := s.ListDeferred(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	k.checkpoint, k.seen = c, len(seen)
	for _, d := range list {
		k.deferred = append(k.deferred, d.Reason)
	}

	return k
}

// The server carries out what it was sent, and its answer never arrives. Whoever called
// calls again, as soon as the network is back.
func TestAWriteThatNobodyAnsweredIsMadeOnce(t *testing.T) {
	key := storetest.Key(1)
	first := store.Commit{
		Key:        key,
		Checkpoint: store.Checkpoint{Floor: 1, Watermark: 100, SeenSince: 1},
		Seen:       storetest.Entries(10, 20),
	}
	more := store.Commit{
		Key:        key,
		Checkpoint: store.Checkpoint{Floor: 1, Watermark: 200, SeenSince: 1},
		Seen:       storetest.Entries(30, 5),
		Deferred:   []store.Deferred{{Kind: store.ParkedBatch, Events: []byte("x"), Reason: "parked"}},
	}
	again := more // and what was delivered since
	again.Seen = storetest.Entries(30, 7)
	again.Deferred = append(again.Deferred[:1:1], store.Deferred{Kind: store.RejectedEvent, Reason: "rejected"})

	for _, test := range []struct {
		name          string
		call, recall  func(ctx context.Context, s *Store) error
		pendingBefore bool
		want          kept
	}{
		{
			name: "a commit",
			call: func(ctx context.Context, s *Store) error { return s.Commit(ctx, []store.Commit{more}) },
			recall: func(ctx context.Context, s *Store) error {
				return s.Commit(ctx, []store.Commit{again})
			},
			want: kept{again.Checkpoint, 27, []string{"parked", "rejected"}},
		},
		{
			name: "deferred work",
			call: func(ctx context.Context, s *Store) error {
				_, err := s.PutDeferred(ctx, key, store.Deferred{
					Kind:   store.UnreadableWindow,
					From:   5,
					To:     6,
					Reason: "w",
				})

				return err
			},
			want: kept{first.Checkpoint, 20, []string{"w"}},
		},
		{
			name: "a rewind",
			call: func(ctx context.Context, s *Store) error {
				c, ok, err := s.ApplyRewind(ctx, key)
				if err == nil && (!ok || c.Watermark != 15) {
					t.Errorf("ApplyRewind = %+v, %t", c, ok)
				}

				return err
			},
			pendingBefore: true,
			want:          kept{store.Checkpoint{Floor: 1, Watermark: 15, SeenSince: 1}, 5, nil},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := pgtest.New(t)
			s, proxy := throughProxy(t, d, "a", key)

			if err := s.Commit(t.Context(), []store.Commit{first}); err != nil {
				t.Fatal(err)
			}

			if test.pendingBefore {
				if err := s.Rewind(t.Context(), key, 15); err != nil {
					t.Fatal(err)
				}
			}

			proxy.MuteAt("UPDATE defender.units u SET state")

			if err := test.call(t.Context(), s); !errors.Is(err, store.ErrUnreachable) {
				t.Fatalf("without an answer: %v", err)
			}

			beside := openOn(t, d)
			if got := keptOf(t, beside, key); reflect.DeepEqual(got, kept{checkpoint: first.Checkpoint, seen: 20}) {
				t.Fatal("the server has not carried it out")
			}

			proxy.Restore()

			if test.pendingBefore {
				until(t, "PendingRewind", func(ctx context.Context) error {
					pending, err := s.PendingRewind(ctx)
					if err == nil && pending[key] != tick.Tick(15) {
						t.Errorf("pending: %v", pending)
					}

					return err
				})
			}

			recall := test.recall
			if recall == nil {
				recall = test.call
			}

			until(t, "the same call", func(ctx context.Context) error { return recall(ctx, s) })

			if got := keptOf(t, s, key); !reflect.DeepEqual(got, test.want) {
				t.Errorf("the unit has %+v; want %+v", got, test.want)
			}

			if pending, err := s.PendingRewind(t.Context()); err != nil || len(pending) != 0 {
				t.Errorf("still pending: %v, %v", pending, err)
			}
		})
	}
}

// A commit of two units is carried out for one of them, and the connection breaks while
// the other one, which somebody else has taken, is looked at. Whoever called calls again.
func TestACommitThatFailedForAnotherUnitIsMadeOnce(t *testing.T) {
	key, lost := storetest.Key(1), storetest.Key(2)
	d := pgtest.New(t)
	s, proxy := throughProxy(t, d, "a", key, lost)
	parked := store.Deferred{Kind: store.ParkedBatch, Events: []byte("x"), Reason: "parked"}
	commits := []store.Commit{
		{Key: key, Checkpoint: store.Checkpoint{Watermark: 100}, Seen: storetest.Entries(10, 20)},
		{Key: lost, Checkpoint: store.Checkpoint{Watermark: 100}},
	}

	if err := s.Commit(t.Context(), commits); err != nil {
		t.Fatal(err)
	}

	again := func(n int) { // with what was delivered since
		commits[0].Seen = storetest.Entries(30, 5*n)
		commits[0].Deferred = slices.Repeat([]store.Deferred{parked}, n)
	}

	again(1)
	d.Exec(t, `UPDATE defender.units SET epoch = epoch + 1 WHERE tenant_id = '`+string(lost.TenantID)+`'`)
	proxy.MuteAt("SELECT u.id, u.epoch, u.stamp")

	if err := s.Commit(t.Context(), commits); !errors.Is(err, store.ErrUnreachable) {
		t.Fatalf("without an answer: %v", err)
	}

	want := kept{commits[0].Checkpoint, 25, []string{"parked"}}
	if got := keptOf(t, openOn(t, d), key); !reflect.DeepEqual(got, want) {
		t.Fatalf("after the first call the unit has %+v; want %+v", got, want)
	}

	again(2)
	proxy.Restore()
	until(t, "the same call", func(ctx context.Context) error {
		if err := s.Commit(ctx, commits); !errors.Is(err, store.ErrFenced) {
			return errors.Join(errors.New("it was not refused"), err)
		}

		return nil
	})

	want = kept{commits[0].Checkpoint, 30, []string{"parked", "parked"}}
	if got := keptOf(t, s, key); !reflect.DeepEqual(got, want) {
		t.Errorf("after the second call the unit has %+v; want %+v", got, want)
	}
}

// Each of several calls writes some of a commit, and fails for another unit.
func TestWhatSeveralCallsWroteIsLeftOut(t *testing.T) {
	var d doubts

	key, seen := storetest.Key(1), storetest.Entries(1, 9)

	for n := range 3 {
		c := store.Commit{Key: key, Seen: seen[:3*n+3]}

		left, _ := d.left(&c)
		if !slices.Equal(left, seen[3*n:3*n+3]) {
			t.Errorf("call %d writes %v", n+1, left)
		}

		d.made(key, doubt{isCommit: true, seen: left}, n == 2)
	}

	if left, _ := d.left(&store.Commit{Key: key, Seen: seen}); len(left) != len(seen) {
		t.Errorf("after a call that worked, %d of %d are written", len(left), len(seen))
	}
}

// failing makes every write of a unit fail with an error of the database.
func failing(t *testing.T, d *pgtest.Database, state string) (repair func()) {
	t.Helper()

	d.Exec(t, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'made to fail' USING ERRCODE = '`+state+`'; END $$`)
	d.Exec(t, `CREATE TRIGGER fail BEFORE UPDATE ON defender.units EXECUTE FUNCTION fail()`)

	return func() { d.Exec(t, `DROP TRIGGER fail ON defender.units`) }
}

// Each trouble of the database has its error, within the limit of a call, and the next
// call works when the trouble is over.
func TestTroublesOfTheDatabaseHaveTheirErrors(t *testing.T) {
	state := func(code string) func(*testing.T, *pgtest.Database) func() {
		return func(t *testing.T, d *pgtest.Database) func() { return failing(t, d, code) }
	}

	for _, test := range []struct {
		name  string
		begin func(t *testing.T, d *pgtest.Database) (repair func())
		want  error
	}{
		{"the disk is full", state("53100"), store.ErrFull},
		{"a deadlock that stays", state("40P01"), store.ErrBusy},
		{"the role lost its rights", state("42501"), store.ErrDenied},
		{"damaged files", state("XX001"), store.ErrDamaged},
		{"a standby", func(t *testing.T, d *pgtest.Database) func() {
			set := func(how string) {
				d.Exec(t, `ALTER DATABASE `+d.Name+` `+how)
				d.Disconnect(t)
			}
			set(`SET default_transaction_read_only = on`)

			return func() {
				d.Exec(t, `BEGIN; SET TRANSACTION READ WRITE; ALTER DATABASE `+d.Name+
					` RESET default_transaction_read_only; COMMIT`)
				d.Disconnect(t)
			}
		}, store.ErrReadOnly},
		{"the tables are gone", func(t *testing.T, d *pgtest.Database) func() {
			d.Exec(t, `ALTER TABLE defender.units RENAME TO away`)
			return func() { d.Exec(t, `ALTER TABLE defender.away RENAME TO units`) }
		}, errNoTables},
	} {
		t.Run(test.name, func(t *testing.T) { trouble(t, pgtest.New(t), test.begin, test.want) })
	}

	t.Run("the server is stopped", func(t *testing.T) {
		trouble(t, pgtest.Start(t).New(t), func(t *testing.T, d *pgtest.Database) func() {
			d.Server.Stop(t)
			return func() { d.Server.Launch(t) }
		}, store.ErrUnreachable)
	})
}

// trouble begins a trouble of d, which a commit returns as want, and repairs it.
func trouble(t *testing.T, d *pgtest.Database, begin func(*testing.T, *pgtest.Database) func(), want error) {
	key := storetest.Key(1)
	s := joined(t, d, "a", key)
	commits := []store.Commit{{Key: key, Checkpoint: store.Checkpoint{Watermark: 1}, Seen: storetest.Entries(1, 3)}}

	if err := s.Commit(t.Context(), commits); err != nil {
		t.Fatal(err)
	}

	repair := begin(t, d)
	commits[0].Seen = storetest.Entries(10, 4)

	started := time.Now()

	if err := s.Commit(t.Context(), commits); !errors.Is(err, want) {
		t.Errorf("Commit = %v; want %v", err, want)
	}

	if took := time.Since(started); took > limit {
		t.Errorf("it took %s", took)
	}

	repair()
	until(t, "Commit", func(ctx context.Context) error { return s.Commit(ctx, commits) })
	storetest.Expect(t, s, key, commits[0].Checkpoint, append(storetest.Entries(1, 3), commits[0].Seen...))
}

func TestEachCallEndsWithinItsLimit(t *testing.T) {
	d, key := pgtest.New(t), storetest.Key(1)
	s, proxy := throughProxy(t, d, "a", key)
	status := map[alert.UnitKey]store.Status{key: {State: health.OK}}

	for name, call := range map[string]func() error{
		"Commit":    func() error { return s.Commit(t.Context(), []store.Commit{{Key: key}}) },
		"SetStatus": func() error { return s.SetStatus(t.Context(), status) },
		"Load":      func() error { _, _, _, err := s.Load(t.Context(), key); return err },
		"Document":  func() error { _, _, err := s.Document(t.Context(), "x"); return err },
		"Rewind":    func() error { return s.Rewind(t.Context(), key, 1) },
	} {
		proxy.Freeze()

		started := time.Now()

		if err := call(); !errors.Is(err, store.ErrUnreachable) {
			t.Errorf("%s = %v", name, err)
		}

		if took := time.Since(started); took > limit {
			t.Errorf("%s took %s", name, took)
		}

		proxy.Restore()
		until(t, name, func(context.Context) error { return call() })
	}
}
