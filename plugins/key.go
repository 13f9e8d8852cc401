package plugins

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"

	contractv2 "github.com/ceralacca/ceralacca/plugins/contract/v2"
)

// Key is a plug-in that signs.
type Key struct {
	About
	// Open makes the key holder. An error says what is wrong with the configuration and what to write.
	Open func(context.Context, Setup) (KeyHolder, error)
}

// KeyHolder signs with keys that never leave it. It is called concurrently.
type KeyHolder interface {
	// Certificates lists the keys that can sign, at least one.
	Certificates(ctx context.Context) ([]KeyEntry, error)
	// Sign signs a SHA-256 digest with RSASSA-PKCS1-v1_5. An error means: not now.
	Sign(ctx context.Context, keyID string, digest []byte) (signature []byte, err error)
}

// KeyEntry is a key and its certificates in DER: its own, then those between it and its authority.
type KeyEntry struct {
	ID    string
	Chain [][]byte
}

// Describe implements Plugin.
func (k Key) Describe() Description { return k.describe(KindKey, onlyCurrent()) }

func (k Key) register(_ int, server *grpc.Server, log *slog.Logger) {
	holder := &opened[KeyHolder]{open: k.Open, log: log}
	registerBase2(server, holder)
	contractv2.RegisterKeyServer(server, keyServer{holder: holder})
}

// keyServer is the service Key.
type keyServer struct {
	contractv2.UnimplementedKeyServer
	holder *opened[KeyHolder]
}

// Certificates implements contractv2.KeyServer.
func (s keyServer) Certificates(ctx context.Context, _ *contractv2.CertificatesRequest) (*contractv2.CertificatesResponse, error) {
	impl, err := s.holder.get()
	if err != nil {
		return nil, err
	}
	entries, err := impl.Certificates(ctx)
	if err != nil {
		return nil, err
	}
	answer := &contractv2.CertificatesResponse{}
	for _, e := range entries {
		answer.Keys = append(answer.Keys, &contractv2.KeyEntry{Id: e.ID, Chain: e.Chain})
	}
	return answer, nil
}

// Sign implements contractv2.KeyServer.
func (s keyServer) Sign(ctx context.Context, r *contractv2.SignRequest) (*contractv2.SignResponse, error) {
	impl, err := s.holder.get()
	if err != nil {
		return nil, err
	}
	if r.Scheme != contractv2.SignatureScheme_SIGNATURE_SCHEME_RSA_PKCS1_SHA256 || len(r.Digest) != 32 {
		return &contractv2.SignResponse{Outcome: contractv2.Outcome_OUTCOME_REFUSED, Reason: "only RSA over SHA-256 is known"}, nil
	}
	signature, err := impl.Sign(ctx, r.KeyId, r.Digest)
	if err != nil && late(ctx) != nil {
		return nil, late(ctx)
	}
	if err != nil {
		return &contractv2.SignResponse{Outcome: contractv2.Outcome_OUTCOME_LATER, Reason: err.Error()}, nil
	}
	return &contractv2.SignResponse{Outcome: contractv2.Outcome_OUTCOME_DONE, Signature: signature}, nil
}
