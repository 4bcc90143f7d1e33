package lease

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/store"
)

// adopt starts the units that this node holds by the store's word but does not know of:
// those of a claim whose answer was lost. Units that are not wanted are released.
func (n *Node) adopt(ctx context.Context, s store.Standing) {
	n.mu.Lock()
	wanted := n.wanted()

	var (
		unknown  []store.Holding
		unwanted []alert.UnitKey
	)

	for _, h := range s.Held {
		switch _, known := n.units[h.Key]; {
		case known, slices.Contains(s.Recalled, h.Key):
		case wanted[h.Key] == nil:
			unwanted = append(unwanted, h.Key)
		default:
			unknown = append(unknown, h)
		}
	}
	n.mu.Unlock()

	if len(unwanted) > 0 {
		n.releaseUnits(ctx, true, unwanted)
	}

	n.startUnits(unknown)
}

// startUnits starts units that this node holds from now on. A unit that it gave away, and
// that no other node has held since, stays here for a while.
func (n *Node) startUnits(holdings []store.Holding) {
	n.mu.Lock()
	wanted := n.wanted()

	var starting []*unit

	for _, h := range holdings {
		m := wanted[h.Key]
		if m == nil || n.units[h.Key] != nil {
			continue // the next step releases it
		}

		u := &unit{key: h.Key, epoch: h.Epoch, member: m}
		n.units[h.Key] = u
		starting = append(starting, u)

		if f, known := n.former[h.Key]; known && h.Epoch == f.epoch+1 {
			n.stayUntil[h.Key] = n.cfg.Now() + staysFor
		}

		delete(n.former, h.Key)
	}
	n.mu.Unlock()

	for _, u := range starting {
		if u.member.Start(u.key) {
			continue
		}

		n.mu.Lock()
		if n.units[u.key] == u {
			u.phase = toRelease
		}
		n.mu.Unlock()
	}
}

// claim claims units that are free.
func (n *Node) claim(ctx context.Context, s store.Standing) {
	if s.Draining {
		return
	}

	n.mu.Lock()
	wanted := n.wanted()
	held := 0

	var others []alert.UnitKey

	for key := range wanted {
		switch u := n.units[key]; {
		case u == nil:
			others = append(others, key)
		case !u.lost():
			held++
		}
	}
	n.mu.Unlock()

	free := slices.ContainsFunc(s.Free, func(key alert.UnitKey) bool { return wanted[key] != nil })

	recall := s.ToRecall && n.claimExpired
	if !recall && (len(others) == 0 || !free && n.cfg.Now() >= n.eagerUntil) {
		return
	}

	slices.SortFunc(others, alert.UnitKey.Compare)

	c := store.Claim{
		Units:   others,
		Expired: n.claimExpired,
		Most:    share(len(wanted), s.Live, n.cfg.Node.ID) - held,
	}
	if c.Most <= 0 { // it has its share: only what no other node claims
		c.Most = len(others)
		c.FreeFor = beyondShare
	}

	n.claimUnits(ctx, c, len(wanted))
}

// claimUnits makes a claim, and starts the units that it gets.
func (n *Node) claimUnits(ctx context.Context, c store.Claim, wanted int) {
	call, cancel := context.WithTimeout(ctx, n.callLimit())
	defer cancel()

	got, err := n.cfg.Leases.Claim(call, c)
	if err != nil {
		n.cfg.Log.Debug(fmt.Sprintf("units cannot be claimed, it is tried again: %v", err))
		n.eagerUntil = n.cfg.Now() + eagerFor

		return
	}

	if len(got) == 0 {
		return
	}

	var keys, taken []alert.UnitKey

	for _, h := range got {
		keys = append(keys, h.Key)

		if h.Takeover {
			taken = append(taken, h.Key)
		}
	}

	n.startUnits(got)
	n.logClaimed(keys, taken, wanted)
}

// logClaimed logs what was claimed, and which units were taken over.
func (n *Node) logClaimed(keys, taken []alert.UnitKey, wanted int) {
	n.mu.Lock()
	n.counted.takeovers += uint64(len(taken))
	live := strings.Join(n.live, ", ")
	n.mu.Unlock()

	n.cfg.Log.Info(fmt.Sprintf("took %s; node %s polls %d of %d now (nodes: %s)",
		count(len(keys)), n.cfg.Node.ID, n.State().Held, wanted, live))

	if len(taken) > 0 {
		n.cfg.Log.Warn(fmt.Sprintf("%d of these belonged to a node that has died: what it may have delivered lately "+
			"comes again, with `replay` in `mssp` (%s)", len(taken), names(taken)))
	}
}
