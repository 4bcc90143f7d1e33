package collect

import (
	"errors"

	"fluent-bit-defender/internal/tick"
)

// errFloorLowered ends a pass whose first answer showed that the clock of the API's host
// is behind ours. The pass then begins again, at the floor by that clock.
var errFloorLowered = errors.New("the pass begins anew at an earlier floor")

// checkFloor lowers the floor if the first answer shows that this is necessary. Nothing
// was read at that moment. The pass then ends after the rows of that answer: the next
// answer may have later versions in their place.
func (s *sink) checkFloor() {
	if s.first && s.p.lowerFloor() {
		s.p.pass, s.lowered = nil, true
	}

	s.first = false
}

// endLowered returns errFloorLowered if the answer that was just read lowered the floor.
func (s *sink) endLowered() error {
	s.checkFloor() // an answer without a row has shown the clock too

	if !s.lowered {
		return nil
	}

	s.lowered = false

	return errFloorLowered
}

// lowerFloor moves the floor of a unit to an earlier time if the unit has read nothing
// yet and the server's clock is behind ours: lookback is meant in the server's time. It
// reports whether it did.
func (p *poller) lowerFloor() bool {
	skew := tick.FromDuration(min(0, p.cfg.Skew.ahead()))
	if skew > -2*tick.Second {
		return false // a Date header has a resolution of a second, and an answer takes time
	}

	return p.progress.Lower(p.cfg.Skew.present(p.now()) - tick.FromDuration(p.cfg.Lookback))
}
