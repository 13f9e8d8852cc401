package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
)

// say makes a sentence of an error: which store, what it said, and what to do. All of them are temporary.
func (s *Store) say(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, errFile) {
		return err
	}
	advice := s.answered(minio.ToErrorResponse(err))
	if advice == "" {
		advice = s.silent(err)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the address, which has been said
	}
	return fmt.Errorf("bucket %s at %s: %s: %w", s.o.Bucket, s.o.Endpoint, advice, err)
}

// answered is what an answer of the store means, empty for one that is not known.
func (s *Store) answered(e minio.ErrorResponse) string {
	switch e.Code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect":
		if region := e.Region; region != "" && region != s.o.Region {
			return fmt.Sprintf("the bucket is in the region %s; write it to region, which is %s", region, s.o.Region)
		}
		if strings.Contains(strings.ToLower(e.Message), "region") || e.Code == "PermanentRedirect" {
			return fmt.Sprintf("the store has another region than %s; mend region", s.o.Region)
		}
		return "the store refuses the key; look at access_key_file and secret_key_file"
	case "XAdminUserNotFound": // QUIRK: versitygw, in place of InvalidAccessKeyId
		return "the store refuses the key; look at access_key_file and secret_key_file"
	case "AccessDenied":
		return "the key may not do this; give it s3:ListBucket on the bucket and s3:GetObject and s3:PutObject on what is in it"
	case "NoSuchBucket":
		return "there is no such bucket; make it, or mend bucket"
	case "RequestTimeTooSkewed":
		return "the clock of this machine and that of the store differ; mend the clock"
	case "XAmzContentSHA256Mismatch", "BadDigest", "InvalidDigest":
		return "what arrived is not what the package says of it; the disk or somebody changed it"
	case "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull":
		return "the store is full; give the bucket more room"
	}
	switch {
	case e.StatusCode == http.StatusInsufficientStorage:
		return "the store is full; give the bucket more room"
	case e.StatusCode >= http.StatusInternalServerError || e.StatusCode == http.StatusTooManyRequests:
		return "the store cannot now"
	case e.StatusCode != 0:
		return "the store refuses"
	}
	return ""
}

// silent is why there was no answer.
func (s *Store) silent(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate of the store is of no authority that is known; name its own in authorities"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate of the store is not good; look at endpoint, and tell who runs the store"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return "the store does not speak TLS there; look at endpoint"
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "the store does not answer in time"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the name of the store is not known; look at endpoint"
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "the store cannot be reached"
	}
	return "the store cannot be asked"
}
