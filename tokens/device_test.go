package tokens_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/tokens"
)

const (
	deviceV1 = `{"user_code":"AB12-CD34","device_code":"dc-secret","verification_url":"https://device.example.test",` +
		`"expires_in":"900","interval":"5","message":"To sign in\r\nopen"}`
	deviceV2 = `{"user_code":"AB12-CD34","device_code":"dc-secret","verification_uri":"https://device.example.test",` +
		`"expires_in":900,"interval":5,"message":"To sign in open"}`
)

// play answers the device endpoint, then the polls by the script, and notes when each
// poll came.
func play(version tokens.Version, script ...string) (*fake, *[]time.Duration) {
	var (
		polls []time.Duration
		begin time.Time
	)

	f := &fake{}
	f.answer = func(a asked) (int, string) {
		if a.form.Get("grant_type") == "" {
			begin = time.Now()

			if version == tokens.V1 {
				return 200, deviceV1
			}

			return 200, deviceV2
		}

		polls = append(polls, time.Since(begin))

		step := script[min(len(polls), len(script))-1]
		switch step {
		case "ok":
			return 200, granted("at", "rt", 3600)
		case "503":
			return 503, "<html>"
		}

		return 400, refusal(step)
	}

	return f, &polls
}

func TestDeviceCodeInBothEndpointFamilies(t *testing.T) {
	for name, tc := range map[string]struct {
		version tokens.Version
		path    string
		want    map[string]string
		without []string
	}{
		"v1": {
			tokens.V1,
			"/oauth2/devicecode?api-version=1.0",
			map[string]string{"grant_type": "device_code", "code": "dc-secret", "resource": resource},
			[]string{"device_code", "scope"},
		},
		"v2": {
			tokens.V2,
			"/oauth2/v2.0/devicecode",
			map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "dc-secret"},
			[]string{"resource", "code"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _ := play(tc.version, "authorization_pending", "ok")
				c := tokens.Client{App: app(tc.version), HTTP: f.client()}

				d, err := c.DeviceAuth(t.Context())
				if err != nil {
					t.Fatal(err)
				}

				if d.UserCode != "AB12-CD34" || d.VerificationURI != "https://device.example.test" ||
					d.Interval != 5*time.Second ||
					time.Until(d.Expiry) != 15*time.Minute {
					t.Errorf("%+v", d)
				}

				got, err := c.DevicePoll(t.Context(), d)
				if err != nil || got.Refresh.Reveal() != "rt" {
					t.Fatalf("%v", err)
				}

				sent := f.sent()
				if sent[0].path != "/"+tenant+tc.path || sent[0].form.Has("client_secret") {
					t.Errorf("asked %s with %v", sent[0].path, sent[0].form)
				}

				for k, v := range tc.want {
					if sent[1].form.Get(k) != v {
						t.Errorf("%s is %q", k, sent[1].form[k])
					}
				}

				for _, k := range tc.without {
					if sent[1].form.Has(k) {
						t.Errorf("%s was sent", k)
					}
				}
			})
		})
	}
}

func TestDevicePollsSlowDownAndSurviveInterruptions(t *testing.T) {
	s := func(list ...int) (out []time.Duration) {
		for _, n := range list {
			out = append(out, time.Duration(n)*time.Second)
		}

		return out
	}
	for name, tc := range map[string]struct {
		script []string
		polls  []time.Duration
		fails  bool
		fate   advice.Fate
	}{
		"pending": {[]string{"authorization_pending", "authorization_pending", "ok"}, s(5, 10, 15),
			false, 0},
		"slow_down is lasting": {[]string{"slow_down", "authorization_pending", "slow_down", "ok"},
			s(5, 15, 25, 40), false, 0},
		"a 503 in between":         {[]string{"authorization_pending", "503", "ok"}, s(5, 10, 20), false, 0},
		"slow_down survives a 503": {[]string{"slow_down", "503", "ok"}, s(5, 15, 30), false, 0},
		"declined":                 {[]string{"authorization_declined"}, s(5), true, advice.NotAuthorised},
		"bad code":                 {[]string{"bad_verification_code"}, s(5), true, advice.NeedsFix},
		"expired":                  {[]string{"expired_token"}, s(5), true, advice.NeedsFix},
		"expired at v1":            {[]string{"code_expired"}, s(5), true, advice.NeedsFix},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, polls := play(tokens.V2, tc.script...)
				c := tokens.Client{App: app(tokens.V2), HTTP: f.client()}

				d, err := c.DeviceAuth(t.Context())
				if err != nil {
					t.Fatal(err)
				}

				_, err = c.DevicePoll(t.Context(), d)
				if (err != nil) != tc.fails || !slices.Equal(*polls, tc.polls) {
					t.Fatalf("%v, polls at %v", err, *polls)
				}

				var e *tokens.Error
				if tc.fails && (!errors.As(err, &e) || e.Fate != tc.fate) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func TestTheDeviceWaitEndsWithItsCodeOrItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, polls := play(tokens.V2, "authorization_pending")
		c := tokens.Client{App: app(tokens.V2), HTTP: f.client()}

		d, err := c.DeviceAuth(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		_, err = c.DevicePoll(t.Context(), d)

		var e *tokens.Error
		if !errors.As(err, &e) || e.Refusal.OAuth != "expired_token" || len(*polls) < 170 {
			t.Errorf("%v after %d polls", err, len(*polls))
		}

		d, err = c.DeviceAuth(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()

		if _, err := c.DevicePoll(ctx, d); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) {
			t.Errorf("%v", err)
		}
	})
}

func TestARefusedOrUselessDeviceAnswerIsExplained(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		code   int
	}{
		"public flows are off": {401, refusal("invalid_client", 7000218), 7000218},
		"a page":               {200, "<html>", 0},
		"no code in it":        {200, `{"user_code":"x"}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{answer: func(asked) (int, string) { return tc.status, tc.body }}
			_, err := tokens.Client{App: app(tokens.V2), HTTP: &http.Client{Transport: f}}.DeviceAuth(t.Context())

			var e *tokens.Error
			if !errors.As(err, &e) || e.Code != tc.code || e.Remedy == "" {
				t.Errorf("%v", err)
			}
		})
	}
}
