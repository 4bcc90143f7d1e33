package simulator_test

import (
	"testing"
	"time"

	"fluent-bit-defender/internal/testbed/simulator"
)

// redeem redeems a refresh token and returns the successor or the code of the refusal.
func (f fixture) redeem(token string) (next string, code int) {
	f.t.Helper()

	a := f.token(contoso+"/oauth2/token", with(refreshV1, "refresh_token", token))
	if a.status != 200 {
		return "", a.code(f.t)
	}

	next, _ = a.json(f.t)["refresh_token"].(string)

	return next, 0
}

// step is one thing that happens to refresh tokens. They are named by their order: 1 is
// the seed, 2 the first that was issued, and so on.
type step struct {
	use  int // this token is redeemed
	want int // the code of the refusal; 0: it is accepted
	wait time.Duration
	do   func(f fixture)
}

const day = 24 * time.Hour

func TestRotation(t *testing.T) {
	for name, test := range map[string]struct {
		mode  simulator.RotationMode
		steps []step
	}{
		"kept: the old token stays valid": {
			simulator.Keep,
			[]step{{use: 1}, {use: 2}, {wait: day}, {use: 1}},
		},
		"strict: the old token serves until its successor is used": {
			simulator.Strict,
			[]step{{use: 1}, {use: 1}, {use: 2}, {use: 1, want: 50173}, {use: 4}},
		},
		"strict: the old token is refused after 60 s": {
			simulator.Strict,
			[]step{{use: 1}, {wait: time.Minute}, {use: 1, want: 50173}, {use: 2}},
		},
		"killed: the old token is refused at once": {
			simulator.Kill,
			[]step{{use: 1}, {use: 1, want: 50173}, {use: 2}, {do: redeemed(2, 1)}},
		},
		"90 days without use are the end, use is not": {
			simulator.Keep,
			[]step{{wait: 89 * day}, {use: 1}, {wait: 2 * day}, {use: 1, want: 700082}, {use: 2}},
		},
		"revoked tokens are dead, and it counts when one is tried again": {
			simulator.Keep,
			[]step{
				{use: 1},
				{do: func(f fixture) { f.RevokeRefreshTokens(contoso, 50173) }},
				{use: 1, want: 50173},
				{use: 2, want: 50173},
				{do: deadAgain(0)},
				{use: 2, want: 50173},
				{do: deadAgain(1)},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, func(c *simulator.Config) { c.Rotation = test.mode })
			issued := []string{"", seedRT}

			for i, s := range test.steps {
				f.clock.Advance(s.wait)

				if s.do != nil {
					s.do(f)
				}

				if s.use == 0 {
					continue
				}

				next, code := f.redeem(issued[s.use])
				if code != s.want {
					t.Fatalf("step %d: token %d is answered with %d, want %d", i+1, s.use, code, s.want)
				}

				if next != "" {
					issued = append(issued, next)
				}
			}
		})
	}
}

func redeemed(redeemed, refused int) func(f fixture) {
	return func(f fixture) {
		if got := f.Requests(); got.Redeemed != redeemed || got.RefusedRedemptions != refused {
			f.t.Errorf("counted %d redeemed, %d refused", got.Redeemed, got.RefusedRedemptions)
		}
	}
}

func deadAgain(want int) func(f fixture) {
	return func(f fixture) {
		if n := f.Requests().DeadAgain; n != want {
			f.t.Errorf("counted %d dead tokens tried again, want %d", n, want)
		}
	}
}

func TestATokenThatIsIssuedAfterARevocationLives(t *testing.T) {
	f := start(t)
	f.RevokeRefreshTokens(contoso, 50173)

	fresh, err := f.IssueRefreshToken(contoso, client)
	if err != nil {
		t.Fatal(err)
	}

	if _, code := f.redeem(fresh); code != 0 {
		t.Errorf("it is refused with %d", code)
	}
}

func TestTheOneTokenGoesOnWhereNoneIsReturned(t *testing.T) {
	f := start(t, func(c *simulator.Config) { c.Rotation, c.OmitRefresh = simulator.Kill, true })

	for range 3 {
		if next, code := f.redeem(seedRT); next != "" || code != 0 {
			t.Fatalf("the successor is %q, the code %d", next, code)
		}
	}
}

func TestATokenOfASinglePageApplicationEndsAfterADay(t *testing.T) {
	f := start(t, func(c *simulator.Config) {
		c.Tenants[0].Apps[1].SPA, c.Tenants[0].Apps[1].Public = true, false
	})
	redeem := func(token string) answer {
		v := with(refreshV1, "client_id", public, "client_secret", "", "refresh_token", token)
		return f.token(contoso+"/oauth2/token", v)
	}

	f.clock.Advance(23 * time.Hour)

	a := redeem(seedRT + "-p")

	f.clock.Advance(2 * time.Hour)

	if got := redeem(a.json(t)["refresh_token"].(string)); got.status != 400 || got.code(t) != 700084 {
		t.Errorf("rotated or not, got %d %s", got.status, got.body)
	}
}

func TestRefreshTokenIsGoodForOtherResources(t *testing.T) {
	f := start(t)
	first := f.token(contoso+"/oauth2/v2.0/token", refreshV2)
	next, _ := first.json(t)["refresh_token"].(string)

	a := f.token(contoso+"/oauth2/token", with(refreshV1, "refresh_token", next))
	if a.status != 200 || a.json(t)["resource"] != "https://graph.windows.net" {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestRefreshTokenMayBeGoodAtAnotherTenant(t *testing.T) {
	for across, want := range map[bool]int{true: 200, false: 400} {
		f := start(t, func(c *simulator.Config) { c.RefreshAcrossTenants = across })
		if a := f.token(fabrikam+"/oauth2/token", refreshV1); a.status != want {
			t.Errorf("across tenants %t: %d %s", across, a.status, a.body)
		}
	}
}
