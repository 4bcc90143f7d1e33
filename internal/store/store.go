package store

import (
	"context"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

// Store is one opening of a place that keeps what must survive. It is safe for
// concurrent use. Package sqlite has one in files of this machine.
type Store interface {
	Units
	Documents
	// Tokens returns the chains of refresh tokens.
	Tokens() Chains
	// Warnings are sentences for the operator about the place: rights that are too
	// wide, for instance.
	Warnings() []string
	// CrashedMachine reports, for a store opened to poll, whether the machine went down
	// without a clean exit since the last one. What Fluent Bit had taken shortly
	// before may be missing from its chunk files then (they are mapped into memory, and
	// survive a kill of the process but not a power cut). Opening has already undone
	// the last CrashWindow of commits, and Load returns units as they were before.
	CrashedMachine() bool
	// OldTokenFiles returns the paths of files that may hold tokens as they once were,
	// and that Remove and Rekey do not change; none where there are no files.
	OldTokenFiles() ([]string, error)
	// Close ends the use of the store; a second call does nothing. When the last
	// opening of this process that polls is closed, it leaves the mark of a clean exit.
	Close() error
}

// Snapshotter is a Store that can write copies of its files while it is in use. One that
// keeps nothing in files of this machine is backed up by the means of its database.
type Snapshotter interface {
	// Snapshot writes a consistent copy of every file into a directory that exists, and
	// returns their names.
	Snapshot(ctx context.Context, dir string) (files []string, err error)
}

// MaxDocument bounds a document, in bytes.
const MaxDocument = 16 << 20

// Documents is the part of a store that keeps small named texts, which are no secrets:
// the last good list of customers, for instance.
type Documents interface {
	// Document returns what SetDocument kept last under a name; ok is false if there is
	// nothing.
	Document(ctx context.Context, name string) (body []byte, ok bool, err error)
	// SetDocument keeps a body under a name, in place of the one before it; nil removes
	// it. A body above MaxDocument is refused. When it returns nil, the document
	// survives a crash of the machine.
	SetDocument(ctx context.Context, name string, body []byte) error
	// DocumentNames returns the names of all documents, ordered.
	DocumentNames(ctx context.Context) ([]string, error)
}

// CopyMark is the name of the document that a store has while it is made by copying
// another one: it is not complete, and no input may use it.
const CopyMark = "copy"

// DiscoveryNotice is the name of the document that says, as a health.Trouble in JSON, why
// the last list of a provider's customers failed. There is none after a good list. While
// an input has no tenants, nothing else in the store shows that.
const DiscoveryNotice = "notice/discovery"

// Chains is the part of a store that keeps chains of refresh tokens. Packages
// tokenstest and storetest have its conformance tests.
type Chains interface {
	tokens.ChainStore
	// List returns every chain, ordered by tenant, client and host. Where none may be
	// used (ErrKey, ErrPlain, ErrTampered), each says so.
	List(ctx context.Context) ([]ChainInfo, error)
	// Remove forgets a chain, its seeds and its access tokens: a seed token that is
	// still configured starts a new chain. It reports whether there was one.
	Remove(ctx context.Context, key tokens.ChainKey) (removed bool, err error)
	// Rekey encrypts every token with newKey (32 bytes), or keeps them plain if it is
	// nil, and goes on with that key. Tokens that are not encrypted, and chains that do
	// not fit their seal, are taken as good. No inputs may run meanwhile (ErrInUse):
	// they would go on with the old key. Access tokens are dropped. It returns the
	// number of chains that changed.
	Rekey(ctx context.Context, newKey []byte) (changed int, err error)
	// Seeds returns the fingerprints that SeedSeen knows, by chain.
	Seeds(ctx context.Context) (map[tokens.ChainKey][][32]byte, error)
}

// ChainInfo is one chain as List gives it.
type ChainInfo struct {
	Key tokens.ChainKey
	// Chain has no tokens in it when they could not be decrypted; Err says why then
	// (ErrKey).
	Chain tokens.Chain
	Err   error
}

// CrashWindow is how far a crash of the machine is undone: what was committed in this
// span before the last sign of life. Linux writes dirty pages of a mapped file after 30
// s (vm.dirty_expire_centisecs) plus one round of the flusher; two minutes leave room
// for a slow disk and for the time between hand-over and commit.
const CrashWindow = 2 * time.Minute

// Commit is what became of one unit since its last commit.
type Commit struct {
	Key alert.UnitKey
	// Checkpoint is the new one.
	Checkpoint Checkpoint
	// Seen are the alert versions delivered since the last commit.
	Seen []Seen
	// Deferred is put off in the same transaction: what the checkpoint goes past without
	// its having been delivered. The IDs are chosen by the
	Deferred []Deferred
	// Dropped are the ids of deferred work that is done now, as for DropDeferred.
	Dropped []int64
}

// Units is the part of a store that keeps progress. Package storetest has its
// conformance tests.
// One process at a time commits to a unit; every process may read, and request rewinds.
type Units interface {
	// Load reads checkpoint and seen-set of a unit; ok is false when it never had a
	// checkpoint.
	Load(ctx context.Context, key alert.UnitKey) (c Checkpoint, seen []Seen, ok bool, err error)
	// Commit writes all commits in one transaction: all of them survive or none. When
	// it returns nil, they survive a crash of the process, and of the machine but for
	// CrashWindow. Once begun, it is not stopped by the context.
	Commit(ctx context.Context, commits []Commit) error
	// Keys gives every unit that is known, ordered.
	Keys(ctx context.Context) ([]alert.UnitKey, error)
	// SetStatus replaces the status of these units, in one transaction.
	SetStatus(ctx context.Context, statuses map[alert.UnitKey]Status) error
	// Statuses gives the last status of every unit that has one.
	Statuses(ctx context.Context) (map[alert.UnitKey]Status, error)
	// Status gives the last status of a unit; ok is false when it has none.
	Status(ctx context.Context, key alert.UnitKey) (status Status, ok bool, err error)
	// ListDeferred returns the deferred work of a unit, oldest first, without the
	// events: they may be more than fits into memory.
	ListDeferred(ctx context.Context, key alert.UnitKey) ([]Deferred, error)
	// DeferredEvents returns the events of one entry; ok is false if it has none, or
	// does not exist any more.
	DeferredEvents(ctx context.Context, key alert.UnitKey, id int64) (events []byte, ok bool, err error)
	// PutDeferred adds d, or replaces the entry with its ID if that is not 0, and
	// returns the ID.
	PutDeferred(ctx context.Context, key alert.UnitKey, d Deferred) (id int64, err error)
	// DropDeferred removes an entry whose work is done. A crash of the machine within
	// CrashWindow brings it back. An entry that does not exist is no error.
	DropDeferred(ctx context.Context, key alert.UnitKey, id int64) error
	// Rewind requests that everything of a unit updated at or after since be emitted
	// again. Of two requests the earlier since counts.
	Rewind(ctx context.Context, key alert.UnitKey, since tick.Tick) error
	// PendingRewind gives the requests for these units, for all when none is named.
	PendingRewind(ctx context.Context, keys ...alert.UnitKey) (map[alert.UnitKey]tick.Tick, error)
	// ApplyRewind carries a request out and removes it, in one transaction: the
	// checkpoint goes back, the seen-set forgets what is not older than since. It gives
	// the checkpoint to go on from; ok is false when there was no request. A unit
	// without a checkpoint keeps none, and the request is removed.
	ApplyRewind(ctx context.Context, key alert.UnitKey) (c Checkpoint, ok bool, err error)
	// Forget removes all that is known of a unit: progress, status, deferred work, a
	// request to rewind. It reports whether the unit was known. No process may poll it
	// meanwhile. When it is polled again it begins anew.
	Forget(ctx context.Context, key alert.UnitKey) (known bool, err error)
	// ClearRewind removes a request without carrying it out.
	ClearRewind(ctx context.Context, key alert.UnitKey) error
}
