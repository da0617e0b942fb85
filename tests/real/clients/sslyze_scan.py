"""Has sslyze scan the gateway, and compares what it finds with Mozilla's guidelines. Who signed the certificate is no matter here."""

import os
import sys

from sslyze import (
    ScanCommand,
    Scanner,
    ServerNetworkConfiguration,
    ServerNetworkLocation,
    ServerScanRequest,
    TlsResumptionSupportEnum,
)
from sslyze.mozilla_tls_profile.tls_config_checker import (
    SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER,
    MozillaTlsConfiguration,
    ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)

CHAIN = "certificate_path_validation"


def scan(port):
    place = ServerNetworkLocation(hostname="localhost", port=port, ip_address="127.0.0.1")
    # A busy machine answers late; that is not what is asked about.
    how = ServerNetworkConfiguration(tls_server_name_indication="localhost", network_timeout=30)
    commands = SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER | {ScanCommand.SESSION_RESUMPTION, ScanCommand.TLS_1_3_EARLY_DATA}
    scanner = Scanner(per_server_concurrent_connections_limit=2)
    scanner.queue_scans([ServerScanRequest(server_location=place, network_configuration=how, scan_commands=commands)])
    return next(scanner.get_results())


def issues(result, profile):
    """What the guidelines find fault with."""
    try:
        check_server_against_tls_configuration(result, MozillaTlsConfiguration.get(TlsConfigurationEnum(profile)))
    except ServerNotCompliantWithTlsConfiguration as found:
        return dict(found.issues)
    return {}


def main():
    profile = os.environ["KEYGATE_PROFILE"]
    result = scan(int(os.environ["KEYGATE_PORT"]))
    failures = []

    def expect(what, holds):
        print("ok  " if holds else "FAIL", what)
        if not holds:
            failures.append(what)

    found = issues(result, profile)
    expect(f"{profile}: nothing but the chain in {found}", set(found) <= {CHAIN})
    scan_of = result.scan_result
    reneg = scan_of.session_renegotiation.result
    expect("no renegotiation by clients", not reneg.is_vulnerable_to_client_renegotiation_dos)
    expect("no compression", not scan_of.tls_compression.result.supports_compression)
    expect("no early data, which can be sent twice", not scan_of.tls_1_3_early_data.result.supports_early_data)
    suites = [suite.cipher_suite.name for suite in scan_of.tls_1_3_cipher_suites.result.accepted_cipher_suites]
    expect(f"the three suites of TLS 1.3: {suites}", len(suites) == 3)
    suites = [suite.cipher_suite.name for suite in scan_of.tls_1_2_cipher_suites.result.accepted_cipher_suites]
    if profile == "modern":
        expect(f"no suite of TLS 1.2: {suites}", not suites)
        expect("what is modern is intermediate too", set(issues(result, "intermediate")) <= {CHAIN})
    else:
        expect(f"the three suites of TLS 1.2 for this certificate: {suites}", len(suites) == 3)
        resumed = scan_of.session_resumption.result.session_id_resumption_result
        expect(f"sessions are resumed: {resumed}", resumed == TlsResumptionSupportEnum.FULLY_SUPPORTED)
        expect("the check would notice TLS 1.2", "tls_versions" in issues(result, "modern"))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
