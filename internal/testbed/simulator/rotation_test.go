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

func TestRotation(t *testing.T) {
	mode := func(m simulator.RotationMode) func(*simulator.Config) {
		return func(c *simulator.Config) { c.Rotation = m }
	}
	step := func(f fixture, token string, want int) string {
		f.t.Helper()

		next, code := f.redeem(token)
		if code != want {
			f.t.Fatalf("redeeming gave %d, want %d", code, want)
		}

		return next
	}

	t.Run("kept: the old token stays valid", func(t *testing.T) {
		f := start(t, mode(simulator.Keep))
		second := step(f, seedRT, 0)
		step(f, second, 0)
		f.clock.Advance(24 * time.Hour)
		step(f, seedRT, 0)
	})
	t.Run("strict: the old token serves until its successor is used", func(t *testing.T) {
		f := start(t, mode(simulator.Strict))
		second := step(f, seedRT, 0)
		step(f, seedRT, 0)
		third := step(f, second, 0)
		step(f, seedRT, 50173)
		step(f, third, 0)
	})
	t.Run("strict: the old token is refused after 60 s", func(t *testing.T) {
		f := start(t, mode(simulator.Strict))
		second := step(f, seedRT, 0)
		f.clock.Advance(60 * time.Second)
		step(f, seedRT, 50173)
		step(f, second, 0)
	})
	t.Run("killed: the old token is refused at once", func(t *testing.T) {
		f := start(t, mode(simulator.Kill))
		second := step(f, seedRT, 0)
		step(f, seedRT, 50173)
		step(f, second, 0)

		if got := f.Requests(); got.Redeemed != 2 || got.RefusedRedemptions != 1 {
			t.Errorf("counted %d redeemed, %d refused", got.Redeemed, got.RefusedRedemptions)
		}
	})
	t.Run("omitted: the one token goes on", func(t *testing.T) {
		f := start(t, mode(simulator.Kill), func(c *simulator.Config) { c.OmitRefresh = true })
		for range 3 {
			if next := step(f, seedRT, 0); next != "" {
				t.Fatal("there was a successor")
			}
		}
	})
	t.Run("90 days without use are the end, use is not", func(t *testing.T) {
		f := start(t)
		f.clock.Advance(89 * 24 * time.Hour)
		second := step(f, seedRT, 0)
		f.clock.Advance(2 * 24 * time.Hour)
		step(f, seedRT, 700082)
		step(f, second, 0)
	})
	t.Run("revoked tokens are dead, new ones live", func(t *testing.T) {
		f := start(t)
		second := step(f, seedRT, 0)
		f.RevokeRefreshTokens(contoso, 50173)
		step(f, seedRT, 50173)
		step(f, second, 50173)

		if n := f.Requests().DeadAgain; n != 0 {
			t.Errorf("counted %d dead tokens tried again", n)
		}

		step(f, second, 50173)

		if n := f.Requests().DeadAgain; n != 1 {
			t.Errorf("counted %d dead tokens tried again, want 1", n)
		}

		fresh, err := f.IssueRefreshToken(contoso, client)
		if err != nil {
			t.Fatal(err)
		}

		step(f, fresh, 0)
	})
	t.Run("a token of a single-page application ends after 24 h, rotated or not", func(t *testing.T) {
		f := start(t, func(c *simulator.Config) {
			c.Tenants[0].Apps[1].SPA, c.Tenants[0].Apps[1].Public = true, false
		})
		redeem := func(token string) answer {
			return f.token(
				contoso+"/oauth2/token",
				with(refreshV1, "client_id", public, "client_secret", "", "refresh_token", token),
			)
		}

		f.clock.Advance(23 * time.Hour)

		a := redeem(seedRT + "-p")

		f.clock.Advance(2 * time.Hour)

		if got := redeem(a.json(t)["refresh_token"].(string)); got.status != 400 || got.code(t) != 700084 {
			t.Errorf("got %d %s", got.status, got.body)
		}
	})
}

func TestRefreshTokenIsGoodForOtherResources(t *testing.T) {
	f := start(t)
	a := f.token(contoso+"/oauth2/v2.0/token", refreshV2)

	b := f.token(contoso+"/oauth2/token", with(refreshV1, "refresh_token", a.json(t)["refresh_token"].(string)))
	if b.status != 200 || b.json(t)["resource"] != "https://graph.windows.net" {
		t.Errorf("got %d %s", b.status, b.body)
	}

	f = start(t, func(c *simulator.Config) { c.RefreshAcrossTenants = true })
	if a := f.token(fabrikam+"/oauth2/token", refreshV1); a.status != 200 {
		t.Errorf("at another tenant, where the user is a guest: %d %s", a.status, a.body)
	}
}
