// Package manifests decodes the files of deploy/kubernetes into Kubernetes' own types, which
// refuse fields that do not exist.
package manifests

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
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
	}
	return nil
}

func TestManifestsFitTheSchemasOfKubernetes(t *testing.T) {
	paths, err := filepath.Glob(dir + "/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, path := range append(paths, dir+"/chart/objects.yaml") {
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
	if kinds["StatefulSet"] == 0 || kinds["ConfigMap"] == 0 || kinds["Secret"] != 2 || kinds["Service"] == 0 {
		t.Errorf("kinds found: %v", kinds)
	}
}

func TestTheStatefulSetIsRestricted(t *testing.T) {
	text, err := os.ReadFile(dir + "/statefulset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var set apps.StatefulSet
	if err := sigyaml.UnmarshalStrict(text, &set); err != nil {
		t.Fatal(err)
	}
	pod := set.Spec.Template.Spec
	if set.Spec.Replicas == nil || *set.Spec.Replicas != 1 {
		t.Error("SQLite is for one replica")
	}
	if p := pod.SecurityContext; p == nil || p.RunAsNonRoot == nil || !*p.RunAsNonRoot || p.SeccompProfile == nil {
		t.Errorf("the pod is not restricted: %+v", p)
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
			s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
			t.Errorf("container %s is not restricted: %+v", c.Name, s)
		}
		if c.LivenessProbe == nil || c.LivenessProbe.HTTPGet.Path != "/healthz" ||
			c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
			t.Errorf("container %s has no probes", c.Name)
		}
		for _, m := range c.VolumeMounts {
			known := m.Name == set.Spec.VolumeClaimTemplates[0].Name ||
				slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name })
			if !known {
				t.Errorf("there is no volume %s", m.Name)
			}
		}
	}
}

func TestValuesOfTheChartFitItsTemplates(t *testing.T) {
	text, err := os.ReadFile(dir + "/chart/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// These are the values that the official chart knows, of those that are used here:
	// https://github.com/fluent/helm-charts, charts/fluent-bit/values.yaml. A value with a
	// type goes into the pod as it is.
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
	if len(values.Init) != 1 || !slices.Equal(values.Init[0].Command, []string{"/usr/bin/defenderctl", "install", "--to", "/plugins"}) {
		t.Errorf("the init container: %+v", values.Init)
	}
}
