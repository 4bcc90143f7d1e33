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

// chainLocks are the locks of chains against the goroutines of this process, by the key
// of the chain. One stays: there are no more than there are chains.
type chainLocks struct{ m sync.Map }

func (l *chainLocks) of(key tokens.ChainKey) turn {
	if found, ok := l.m.Load(key); ok {
		return found.(turn)
	}

	found, _ := l.m.LoadOrStore(key, newTurn())

	return found.(turn)
}

const (
	// lockSilence is how long the holder of a chain's lock may be silent: then the
	// database ends its transaction. A process that was stopped, or is cut off, does not
	// hold up the others.
	lockSilence = 30 * time.Second
	// lockSign is how often a holder gives a sign of life.
	lockSign = lockSilence / 3
)

// The pauses between attempts to lock a chain.
const (
	leastLockPause = 20 * time.Millisecond
	mostLockPause  = 500 * time.Millisecond
)

// Lock implements tokens.ChainStore: first against the goroutines of this process, then
// against other processes, by the lock of a row, which a transaction holds that goes on
// until unlock. A process that dies loses its connections, and with them its locks; one
// that is stopped loses them after lockSilence. What it saves afterwards is told apart by
// the chain's version (Swap).
func (c *Chains) Lock(ctx context.Context, key tokens.ChainKey) (func(), error) {
	if err := c.s.writable(); err != nil {
		return nil, err
	}

	c.s.chains() // makes what the locks need

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
// waiting in the database would keep a connection, and a wait whose client has gone is
// not noticed there.
func (c *Chains) lockRow(ctx context.Context, key tokens.ChainKey) (*heldLock, error) {
	for pause := leastLockPause; ; pause = min(pause*2, mostLockPause) {
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

// tryRow locks a chain's row, and returns nil if somebody else has it. As long as all
// connections for locks are in use it waits: that is no fault of the database.
func (c *Chains) tryRow(ctx context.Context, key tokens.ChainKey) (held *heldLock, err error) {
	conn, err := c.s.lockPool.Acquire(ctx)
	if err != nil {
		return nil, c.s.explain(err)
	}

	defer func() {
		if held == nil {
			conn.Release()
		}
	}()

	var t pgx.Tx

	err = c.s.call(ctx, looks, "lock chain", func(ctx context.Context) (err error) {
		t, err = tryLock(ctx, conn, key)
		return err
	})
	if err != nil || t == nil {
		return nil, err
	}

	held = &heldLock{
		conn:  conn,
		t:     t,
		limit: c.s.o.CallLimit,
		ended: make(chan struct{}),
	}
	held.signs.Go(held.giveSigns)

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
	t     pgx.Tx
	limit time.Duration

	ended chan struct{}
	signs sync.WaitGroup
}

// giveSigns asks the database something now and then until the lock is released.
func (h *heldLock) giveSigns() {
	ticker := time.NewTicker(lockSign)
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
				return // the lock is gone; what it protects is told apart by its version
			}
		}
	}
}

// release gives the lock back.
func (h *heldLock) release() {
	close(h.ended)
	h.signs.Wait()

	ctx, cancel := context.WithTimeout(context.Background(), h.limit)
	defer cancel()

	_ = h.t.Rollback(ctx) // a connection that is broken has lost the lock already
	h.conn.Release()
}
