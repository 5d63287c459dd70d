package storetest

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"memexport/internal/workshop/devstack"
	"memexport/internal/workshop/process"
)

// Grant allows an account to perform actions on some objects, such as "exports/*", or on the bucket
// itself if On is "".
type Grant struct {
	On      string
	Actions []string
}

// Accounts creates accounts on the S3 server. Each account has only its grants, on this bucket. The
// result maps each account to the environment variables that a process needs to use it.
func (s *Store) Accounts(t testing.TB, grants map[string][]Grant) map[string][]string {
	t.Helper()
	program, err := devstack.GoProgram(t.Context(), "stores", goPrograms["s3"].name, goPrograms["s3"].pkg, report)
	if err != nil {
		t.Fatal(err)
	}
	type statement struct {
		Effect    string
		Principal map[string]string
		Action    []string
		Resource  string
	}
	var policy struct {
		Version   string
		Statement []statement
	}
	policy.Version = "2012-10-17"
	env := map[string][]string{}
	for name, granted := range grants {
		access, secret := name+"-of-"+s.Bucket, "secret-of-"+name
		create := exec.Command(program, "admin", "--access", "test", "--secret", "testsecret", "--endpoint-url", "http://"+s.Address,
			"create-user", "--access", access, "--secret", secret, "--role", "user")
		if _, err := process.Run(t.Context(), create, process.RunOptions{}); err != nil {
			t.Fatalf("make the account %s: %v", name, err)
		}
		env[name] = []string{"AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret}
		for _, g := range granted {
			resource := "arn:aws:s3:::" + s.Bucket
			if g.On != "" {
				resource += "/" + g.On
			}
			policy.Statement = append(policy.Statement, statement{Effect: "Allow",
				Principal: map[string]string{"AWS": access}, Action: g.Actions, Resource: resource})
		}
	}
	text, err := json.Marshal(policy)
	if err != nil {
		t.Fatal(err)
	}
	document := string(text)
	var client *s3.Client
	if !s.Open(t).As(&client) {
		t.Fatalf("the store %s has no accounts", s.Name)
	}
	if _, err := client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &s.Bucket, Policy: &document}); err != nil {
		t.Fatal(err)
	}
	return env
}

// WithSAS creates a SAS token with only these permissions on the Azure container. It returns the
// URL and the environment variables with which a process opens the container, and the token.
func (s *Store) WithSAS(t testing.TB, permissions sas.ContainerPermissions) (bucketURL string, env []string, token string) {
	t.Helper()
	var client *container.Client
	if !s.Open(t).As(&client) {
		t.Fatalf("the store %s has no SAS", s.Name)
	}
	signed, err := client.GetSASURL(permissions, time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ = strings.Cut(signed, "?")
	return "azblob://" + s.Bucket, []string{"AZURE_STORAGE_ACCOUNT=" + azureAccount, "AZURE_STORAGE_KEY=", "AZURE_STORAGE_SAS_TOKEN=" + token,
		"AZURE_STORAGE_DOMAIN=" + s.Address, "AZURE_STORAGE_PROTOCOL=http", "AZURE_STORAGE_IS_LOCAL_EMULATOR=true"}, token
}
