package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/tokens"
)

// chainLocks are the locks of chains among the goroutines of this process, by the key
// of the chain. They are never deleted: there are no more of them than chains.
type chainLocks struct{ m sync.Map }

func (l *chainLocks) of(key tokens.ChainKey) turn {
	if found, ok := l.m.Load(key); ok {
		return found.(turn)
	}

	found, _ := l.m.LoadOrStore(key, newTurn())

	return found.(turn)
}

const (
	// lockSilence is how long the holder of a chain's lock may be silent before the
	// database ends its transaction. So a process that was stopped, or is cut off, does
	// not hold up the others.
	lockSilence = 30 * time.Second
	// lockPing is how often a holder sends something.
	lockPing = lockSilence / 3
)

// The pauses between attempts to lock a chain.
const (
	minLockPause = 20 * time.Millisecond
	maxLockPause = 500 * time.Millisecond
)

// Lock implements tokens.ChainStore. It locks a chain among the goroutines of this
// process first, and then among processes: a transaction holds the lock of a row until
// unlock is called. A process that dies loses its connections, and with them its locks.
// One that is stopped loses them after lockSilence; what it tries to save afterwards is
// refused, since the version of the chain has changed (Swap).
func (c *Chains) Lock(ctx context.Context, key tokens.ChainKey) (func(), error) {
	if err := c.s.writable(); err != nil {
		return nil, err
	}

	c.s.chains() // initialises the locks

	inProcess := c.s.chainLocks.of(key)
	if err := inProcess.lock(ctx); err != nil {
		return nil, fmt.Errorf("lock the tokens of tenant %s: %w: %w", key.TenantID, store.ErrBusy, err)
	}

	held, err := c.lockRow(ctx, key)
	if err != nil {
		inProcess.unlock()
		return nil, fmt.Errorf("lock the tokens of tenant %s: %w", key.TenantID, err)
	}

	return sync.OnceFunc(func() {
		held.release()
		inProcess.unlock()
	}), nil
}

// lockRow waits for the lock of a chain's row until ctx ends. It asks again and again:
// to wait in the database would occupy a connection, and the database does not notice
// when the client of a waiting statement is gone.
func (c *Chains) lockRow(ctx context.Context, key tokens.ChainKey) (*heldLock, error) {
	for pause := minLockPause; ; pause = min(pause*2, maxLockPause) {
		held, err := c.tryRow(ctx, key)
		if err != nil || held != nil {
			return held, err
		}

		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: %w", store.ErrBusy, ctx.Err())
		case <-timer.C:
		}
	}
}

// tryRow locks a chain's row. It returns nil if somebody else holds the lock. It waits
// as long as all connections for locks are in use, which is no fault of the database.
func (c *Chains) tryRow(ctx context.Context, key tokens.ChainKey) (held *heldLock, err error) {
	leave, err := c.s.enterLocks(ctx)
	if err != nil {
		return nil, err
	}

	conn, err := c.s.lockPool.Acquire(ctx)
	if err != nil {
		leave()
		return nil, c.s.explain(err)
	}

	defer func() {
		if held == nil {
			conn.Release()
			leave()
		}
	}()

	var t pgx.Tx

	err = c.s.call(ctx, readCall, "lock chain", func(ctx context.Context) (err error) {
		t, err = tryLock(ctx, conn, key)
		return err
	})
	if err != nil || t == nil {
		return nil, err
	}

	held = &heldLock{
		conn:  conn,
		leave: leave,
		t:     t,
		limit: c.s.o.CallLimit,
		ended: make(chan struct{}),
	}
	held.signs.Go(held.keepAlive)

	return held, nil
}

// tryLock returns a transaction that has the lock of a chain's row, or nil if another one
// has it.
func tryLock(ctx context.Context, conn *pgxpool.Conn, key tokens.ChainKey) (pgx.Tx, error) {
	if _, err := conn.Exec(ctx, `INSERT INTO defender.chain_locks (login_host, tenant_id, client_id)
		VALUES ($1::text, $2::text, $3::text) ON CONFLICT DO NOTHING`, chainArgs(key)...); err != nil {
		return nil, err
	}

	t, err := begin(ctx, conn, beginWrite, limits{silence: lockSilence})
	if err != nil {
		return nil, err
	}

	locked := false

	err = t.QueryRow(ctx, `SELECT true FROM defender.chain_locks WHERE `+ofChain+` FOR UPDATE SKIP LOCKED`,
		chainArgs(key)...).Scan(&locked)
	if err == nil && locked {
		return t, nil
	}

	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}

	if rollbackErr := t.Rollback(ctx); err == nil {
		err = rollbackErr
	}

	return nil, err
}

// heldLock is the transaction that holds the lock of a chain.
type heldLock struct {
	conn  *pgxpool.Conn
	leave func() // see enterLocks
	t     pgx.Tx
	limit time.Duration

	ended chan struct{}
	signs sync.WaitGroup
}

// keepAlive asks the database something now and then until the lock is released.
func (h *heldLock) keepAlive() {
	ticker := time.NewTicker(lockPing)
	defer ticker.Stop()

	for {
		select {
		case <-h.ended:
			return
		case <-ticker.C:
			ctx, cancel := context.WithTimeout(context.Background(), h.limit)
			_, err := h.t.Exec(ctx, `SELECT 1`)

			cancel()

			if err != nil {
				return // the lock is lost; the chain's version still protects the chain (Swap)
			}
		}
	}
}

// release releases the lock.
func (h *heldLock) release() {
	close(h.ended)
	h.signs.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), h.limit)
	defer cancel()

	_ = h.t.Rollback(ctx) // if the connection is broken, the lock is lost already
	h.conn.Release()
	h.leave()
}

// enterLocks waits until one more chain may be locked. The caller calls leave when the
// chain is not locked any more.
func (s *Store) enterLocks(ctx context.Context) (leave func(), err error) {
	if !s.pooled.Load() {
		return func() {}, nil
	}

	select {
	case s.lockPlaces <- struct{}{}:
		return func() { <-s.lockPlaces }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %d refresh tokens are being redeemed, as many as a pooler leaves room for: %w",
			store.ErrBusy, maxPooledLocks, ctx.Err())
	}
}
