package store

import (
	"context"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/tick"
	"fluent-bit-defender/tokens"
)

// Store is an opened store. It is safe for concurrent use.
type Store interface {
	Units
	Documents
	// Tokens returns the chains of refresh tokens.
	Tokens() Chains
	// Warnings returns sentences for the operator about the store, such as that other
	// users may change its files.
	Warnings() []string
	// CrashedMachine reports, for a store opened to poll, whether the machine crashed
	// since the store was last closed. Events that were delivered shortly before may be
	// missing from Fluent Bit's chunk files: these are mapped into memory, and survive
	// a kill of the process but not a power cut. Open has already undone the last
	// CrashWindow of commits, and Load returns units as they were before.
	CrashedMachine() bool
	// OldTokenFiles returns the paths of files that may hold older states of the
	// tokens, and that Remove and Rekey do not change. A database has none.
	OldTokenFiles() ([]string, error)
	// Close closes the store; a second call does nothing. When the last opening of this
	// process that polls is closed, the store is marked as properly closed.
	Close() error
}

// Snapshotter is a Store that can write copies of its files while it is in use. A
// database is backed up by its own means instead.
type Snapshotter interface {
	// Snapshot writes a consistent copy of every file into a directory that exists, and
	// returns their names.
	Snapshot(ctx context.Context, dir string) (files []string, err error)
}

// MaxDocument bounds a document, in bytes.
const MaxDocument = 16 << 20

// Documents is the part of a store that keeps named texts that are no secrets, such as
// the last good list of customers.
type Documents interface {
	// Document returns the body that SetDocument last stored under a name; ok is false
	// if there is none.
	Document(ctx context.Context, name string) (body []byte, ok bool, err error)
	// SetDocument stores a body under a name, in place of the one before it; nil
	// removes it. A body of more than MaxDocument bytes is refused. When it returns
	// nil, the document survives a crash of the machine.
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
	// List returns every chain, ordered by tenant, client and host. If none may be used
	// (ErrKey, ErrPlain, ErrTampered), the Err of each says so.
	List(ctx context.Context) ([]ChainInfo, error)
	// Remove forgets a chain, its seeds and its access tokens: a seed token that is
	// still configured starts a new chain. It reports whether there was one.
	Remove(ctx context.Context, key tokens.ChainKey) (removed bool, err error)
	// Rekey encrypts every token with newKey (32 bytes), or stores them unencrypted if
	// it is nil, and uses that key from now on. It accepts tokens that are not
	// encrypted, and chains that do not fit their seal. No inputs may run meanwhile
	// (ErrInUse): they would go on with the old key. Access tokens are dropped. It
	// returns the number of chains that changed.
	Rekey(ctx context.Context, newKey []byte) (changed int, err error)
	// Seeds returns the fingerprints that SeedSeen knows, by chain.
	Seeds(ctx context.Context) (map[tokens.ChainKey][][32]byte, error)
}

// ChainInfo is one chain as List returns it.
type ChainInfo struct {
	Key tokens.ChainKey
	// Chain has no tokens if they could not be decrypted; then Err says why (ErrKey).
	Chain tokens.Chain
	Err   error
}

// CrashWindow is how much is undone after a crash of the machine: what was committed in
// this span before the last sign of life. Linux writes dirty pages of a mapped file
// after 30 s (vm.dirty_expire_centisecs) plus one round of the flusher. Two minutes
// leave room for a slow disk, and for the time between delivery and commit.
const CrashWindow = 2 * time.Minute

// Commit is what is to be committed of one unit: what was delivered since the last
// commit.
type Commit struct {
	Key alert.UnitKey
	// Checkpoint is the new one.
	Checkpoint Checkpoint
	// Seen are the alert versions delivered since the last commit.
	Seen []Seen
	// Deferred is added in the same transaction: work that the checkpoint goes past
	// although it was not delivered. The store chooses the IDs.
	Deferred []Deferred
	// Dropped are the IDs of deferred work that is done now, as for DropDeferred.
	Dropped []int64
}

// Units is the part of a store that keeps progress. Package storetest has its
// conformance tests.
// One process at a time commits to a unit; every process may read, and request rewinds.
type Units interface {
	// Load reads checkpoint and seen-set of a unit; ok is false if it has never had a
	// checkpoint.
	Load(ctx context.Context, key alert.UnitKey) (c Checkpoint, seen []Seen, ok bool, err error)
	// Commit writes all commits in one transaction: all of them survive or none. When
	// it returns nil, they survive a crash of the process, and of the machine but for
	// CrashWindow. Once begun, it is not stopped by the context.
	Commit(ctx context.Context, commits []Commit) error
	// Keys returns every unit that is known, ordered.
	Keys(ctx context.Context) ([]alert.UnitKey, error)
	// SetStatus replaces the status of these units, in one transaction.
	SetStatus(ctx context.Context, statuses map[alert.UnitKey]Status) error
	// Statuses returns the last status of every unit that has one.
	Statuses(ctx context.Context) (map[alert.UnitKey]Status, error)
	// Status returns the last status of a unit; ok is false if it has none.
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
	// PendingRewind returns the requests for these units, or for all if none is named.
	PendingRewind(ctx context.Context, keys ...alert.UnitKey) (map[alert.UnitKey]tick.Tick, error)
	// ApplyRewind carries a request out and removes it, in one transaction: the
	// checkpoint goes back, and the seen-set forgets what is not older than since. It
	// returns the checkpoint to go on from; ok is false if there was no request. A unit
	// without a checkpoint keeps none, and the request is removed.
	ApplyRewind(ctx context.Context, key alert.UnitKey) (c Checkpoint, ok bool, err error)
	// Forget removes everything that is known of a unit: progress, status, deferred
	// work and a request to rewind. It reports whether the unit was known. No process
	// may poll it meanwhile. If it is polled again, it starts as a new unit.
	Forget(ctx context.Context, key alert.UnitKey) (known bool, err error)
	// ClearRewind removes a request without carrying it out.
	ClearRewind(ctx context.Context, key alert.UnitKey) error
}
