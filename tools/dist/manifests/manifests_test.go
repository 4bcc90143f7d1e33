// Package manifests decodes the files of deploy/kubernetes into Kubernetes' own types,
// which refuse fields that do not exist.
package manifests

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigyaml "sigs.k8s.io/yaml"
)

const dir = "../../../deploy/kubernetes"

// into returns an object of a kind, to decode into.
func into(kind string) any {
	switch kind {
	case "StatefulSet":
		return &apps.StatefulSet{}
	case "ConfigMap":
		return &core.ConfigMap{}
	case "Secret":
		return &core.Secret{}
	case "Service":
		return &core.Service{}
	case "PersistentVolumeClaim":
		return &core.PersistentVolumeClaim{}
	case "PodDisruptionBudget":
		return &policy.PodDisruptionBudget{}
	}

	return nil
}

func TestManifestsFitTheSchemasOfKubernetes(t *testing.T) {
	paths := []string{dir + "/chart/objects.yaml"}
	for _, pattern := range []string{"/*.yaml", "/high-availability/*.yaml"} {
		found, err := filepath.Glob(dir + pattern)
		if err != nil || len(found) == 0 {
			t.Fatal(pattern, err)
		}

		paths = append(paths, found...)
	}

	kinds := map[string]int{}

	for _, path := range paths {
		if filepath.Base(path) == "kustomization.yaml" {
			continue
		}

		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}

		for r := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text))); ; {
			doc := make([]byte, len(text)+1)

			n, err := r.Read(doc)
			if errors.Is(err, io.EOF) {
				break
			}

			if err != nil {
				t.Fatal(path, err)
			}

			var head struct {
				Kind string `json:"kind"`
			}
			if err := sigyaml.Unmarshal(doc[:n], &head); err != nil {
				t.Fatal(path, err)
			}

			object := into(head.Kind)
			if object == nil {
				t.Errorf("%s: no type for kind %q", path, head.Kind)
				continue
			}

			if err := sigyaml.UnmarshalStrict(doc[:n], object); err != nil {
				t.Errorf("%s: %v", path, err)
			}

			kinds[head.Kind]++
		}
	}

	if kinds["StatefulSet"] != 2 || kinds["ConfigMap"] != 2 || kinds["Secret"] != 3 || kinds["Service"] != 2 ||
		kinds["PodDisruptionBudget"] != 1 {
		t.Errorf("kinds found: %v", kinds)
	}
}

func TestTheStatefulSetsAreRestricted(t *testing.T) {
	for folder, replicas := range map[string]int32{"": 1, "/high-availability": 3} {
		set := statefulSet(t, folder)

		pod := set.Spec.Template.Spec
		if set.Spec.Replicas == nil || *set.Spec.Replicas != replicas {
			t.Errorf("%q: %v replicas, want %d", folder, set.Spec.Replicas, replicas)
		}

		if p := pod.SecurityContext; p == nil || p.RunAsNonRoot == nil || !*p.RunAsNonRoot || p.SeccompProfile == nil {
			t.Errorf("%q: the pod is not restricted: %+v", folder, p)
		}

		for _, c := range pod.Containers {
			restricted(t, c)

			if c.LivenessProbe == nil || c.LivenessProbe.HTTPGet.Path != "/healthz" ||
				c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
				t.Errorf("%q: container %s has no probes", folder, c.Name)
			}

			for _, m := range c.VolumeMounts {
				known := m.Name == set.Spec.VolumeClaimTemplates[0].Name ||
					slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name })
				if !known {
					t.Errorf("%q: there is no volume %s", folder, m.Name)
				}
			}
		}
	}
}

func statefulSet(t *testing.T, folder string) (set apps.StatefulSet) {
	t.Helper()

	text, err := os.ReadFile(dir + folder + "/statefulset.yaml")
	if err != nil {
		t.Fatal(err)
	}

	if err := sigyaml.UnmarshalStrict(text, &set); err != nil {
		t.Fatal(err)
	}

	return set
}

func restricted(t *testing.T, c core.Container) {
	t.Helper()

	s := c.SecurityContext
	if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
		s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
		t.Errorf("container %s is not restricted: %+v", c.Name, s)
	}
}

func TestThreeReplicasSurviveTheLossOfAMachine(t *testing.T) {
	set := statefulSet(t, "/high-availability")
	pod := set.Spec.Template.Spec
	labels := set.Spec.Template.Labels

	if len(pod.TopologySpreadConstraints) != 1 {
		t.Fatal("nothing spreads the pods over machines")
	}

	spread := pod.TopologySpreadConstraints[0]
	if spread.TopologyKey != "kubernetes.io/hostname" || spread.MaxSkew != 1 ||
		!maps.Equal(spread.LabelSelector.MatchLabels, labels) {
		t.Errorf("the pods are not spread over machines: %+v", spread)
	}

	text, err := os.ReadFile(dir + "/high-availability/poddisruptionbudget.yaml")
	if err != nil {
		t.Fatal(err)
	}

	var budget policy.PodDisruptionBudget
	if err := sigyaml.UnmarshalStrict(text, &budget); err != nil {
		t.Fatal(err)
	}

	if most := budget.Spec.MaxUnavailable; most == nil || most.IntValue() != 1 ||
		!maps.Equal(budget.Spec.Selector.MatchLabels, labels) {
		t.Errorf("more than one pod may be taken away at a time: %+v", budget.Spec)
	}

	env := map[string]core.EnvVar{}
	for _, v := range pod.Containers[0].Env {
		env[v.Name] = v
	}

	if from := env["POD_NAME"].ValueFrom; from == nil || from.FieldRef.FieldPath != "metadata.name" {
		t.Error("node_id is not the name of the pod")
	}

	if from := env["PGPASSWORD"].ValueFrom; from == nil || from.SecretKeyRef == nil {
		t.Error("the password of the database is not from the secret")
	}

	if u, err := url.Parse(env["DEFENDER_STORE"].Value); err != nil || u.Scheme != "postgres" ||
		u.Query().Get("sslmode") != "verify-full" {
		t.Errorf("the database is not reached by TLS with its certificate checked: %v", u)
	}
}

func TestValuesOfTheChartFitItsTemplates(t *testing.T) {
	text, err := os.ReadFile(dir + "/chart/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// These are the values that the official chart knows, of those that are used here:
	// https://github.com/fluent/helm-charts, charts/fluent-bit/values.yaml. A value
	// with a type goes into the pod as it is.
	var values struct {
		Pod            core.PodSecurityContext `json:"podSecurityContext"`
		Container      core.SecurityContext    `json:"securityContext"`
		Init           []core.Container        `json:"initContainers"`
		Volumes        []core.Volume           `json:"extraVolumes"`
		Mounts         []core.VolumeMount      `json:"extraVolumeMounts"`
		Env            []core.EnvVar           `json:"env"`
		Live           core.Probe              `json:"livenessProbe"`
		Ready          core.Probe              `json:"readinessProbe"`
		UpdateStrategy apps.DeploymentStrategy `json:"updateStrategy"`

		Kind           any `json:"kind"`
		ReplicaCount   any `json:"replicaCount"`
		Grace          any `json:"terminationGracePeriodSeconds"`
		Image          any `json:"image"`
		RBAC           any `json:"rbac"`
		ServiceAccount any `json:"serviceAccount"`
		TestFramework  any `json:"testFramework"`
		Command        any `json:"command"`
		Args           any `json:"args"`
		ExtraPorts     any `json:"extraPorts"`
		Config         any `json:"config"`
	}
	if err := sigyaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}

	if len(values.Init) != 1 ||
		!slices.Equal(values.Init[0].Command, []string{"/usr/bin/defenderctl", "install", "--to", "/plugins"}) {
		t.Errorf("the init container: %+v", values.Init)
	}
}
