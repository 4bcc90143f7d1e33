package health

import (
	"encoding/json"
	"testing"
	"time"
)

// at returns the moment that many minutes after an arbitrary full hour.
func at(minutes int) time.Time {
	return time.Unix(1_700_000_000/3600*3600, 0).Add(time.Duration(minutes) * time.Minute)
}

func TestAlertsAreCountedByTheHour(t *testing.T) {
	for name, c := range map[string]struct {
		minutes []int // when events happen
		now     int
		want    map[int]uint32 // index from the end: 0 is the hour of now
	}{
		"nothing":                       {nil, 0, nil},
		"this hour":                     {[]int{0, 59}, 59, map[int]uint32{0: 2}},
		"the hour before":               {[]int{59}, 60, map[int]uint32{1: 1}},
		"several hours":                 {[]int{0, 60, 61, 300}, 310, map[int]uint32{5: 1, 4: 2, 0: 1}},
		"the oldest one that is shown":  {[]int{0}, 23*60 + 59, map[int]uint32{23: 1}},
		"one that is too old":           {[]int{0}, 24 * 60, nil},
		"an old one makes room":         {[]int{0, 24 * 60}, 24 * 60, map[int]uint32{0: 1}},
		"after a long silence":          {[]int{0, 30, 1000 * 60}, 1001 * 60, map[int]uint32{1: 1}},
		"the clock went back":           {[]int{180, 60}, 180, map[int]uint32{0: 1, 2: 1}},
		"the clock went back by a week": {[]int{7 * 24 * 60, 0}, 0, map[int]uint32{0: 1}},
		"shown by a clock behind":       {[]int{180}, 60, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var h Hours
			for _, m := range c.minutes {
				h.Add(at(m))
			}

			got := h.Until(at(c.now))
			for i := range got {
				if want := c.want[HoursShown-1-i]; got[i] != want {
					t.Errorf("%d hours ago: %d, want %d", HoursShown-1-i, got[i], want)
				}
			}
		})
	}
}

func TestHoursSurviveJSON(t *testing.T) {
	type row struct {
		Hours Hours `json:",omitzero"`
	}

	var before, after row
	before.Hours.Add(at(0))
	before.Hours.Add(at(90))

	data, err := json.Marshal(before)
	if err == nil {
		err = json.Unmarshal(data, &after)
	}

	if err != nil || after != before {
		t.Errorf("%v: %s became %+v", err, data, after)
	}

	if data, err := json.Marshal(row{}); err != nil || string(data) != "{}" {
		t.Errorf("nothing counted is written as %s, %v", data, err)
	}

	// A file that somebody has changed harms nobody.
	odd := Hours{Last: -5}
	odd.Add(at(0))
	_ = (&Hours{Last: -1 << 60}).Until(at(0))
}
