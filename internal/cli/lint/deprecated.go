package lint

import (
	"fmt"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
)

// deprecated notes, once for each input, that tenants are read from an API that Microsoft
// advises against.
func (l *linter) deprecated() {
	for i, in := range l.parsed {
		if in == nil {
			continue
		}

		old := map[alert.API]int{}

		for _, t := range in.Tenants {
			if problem, _ := t.API.Deprecated(); problem != "" {
				old[t.API]++
			}
		}

		for api, count := range old {
			at := config.Place{File: in.TenantsFile, Key: "api"}
			if in.TenantsFile == "" && i < len(l.sections) {
				at.File, at.Line = l.sections[i].Where("api")
				at.Tenant = l.sections[i].Get("tenant_name")
			}

			problem, remedy := api.Deprecated()
			if count > 1 {
				problem += fmt.Sprintf("; %d tenants use it", count)
			}

			l.add(Note, at, problem, remedy)
		}
	}
}
